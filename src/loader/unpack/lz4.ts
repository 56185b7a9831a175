import { UnpackError } from './unpack-error.ts';

const LEGACY_MAGIC = 0x184c_2102;
/** Blocks of the legacy frame unpack to this size, the last one to less. */
const LEGACY_BLOCK_SIZE = 8 << 20;
const MIN_MATCH = 4;

/**
 * Unpacks an LZ4 legacy frame (lz4_Frame_format.md, "Legacy frame"), what `lz4 -l` makes and Linux kernels carry.
 * The result has exactly `outputSize` bytes. Throws UnpackError.
 */
export function unpackLz4(input: Uint8Array, outputSize: number): Uint8Array {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const output = new Uint8Array(outputSize);
  let at = 0;
  let filled = 0;
  while (filled < outputSize) {
    if (at + 4 > input.length) throw new UnpackError('the lz4 data ends early');
    const size = view.getUint32(at, true);
    at += 4;
    // Frames may follow one another.
    if (size === LEGACY_MAGIC) continue;
    if (size > input.length - at) throw new UnpackError(`an lz4 block of ${size} bytes is beyond the end of the data`);
    const room = Math.min(outputSize, filled + LEGACY_BLOCK_SIZE);
    filled = unpackLz4Block(input, at, at + size, output, filled, room);
    at += size;
  }
  return output;
}

/**
 * Unpacks one LZ4 block, input[from, to), to output[start, ...), at most to `limit`; matches reach back to `start`
 * only, as blocks of the legacy frame stand alone. Returns where the output ends. Throws UnpackError.
 */
export function unpackLz4Block(
  input: Uint8Array,
  from: number,
  to: number,
  output: Uint8Array,
  start: number,
  limit: number,
): number {
  let i = from;
  let o = start;
  while (i < to) {
    const token = input[i++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255 && i < to) literals += more = input[i++]!;
    }
    if (literals > to - i || literals > limit - o) throw new UnpackError('an lz4 literal run is too long');
    // A call costs more than a few bytes copied here.
    if (literals > 32) output.set(input.subarray(i, i + literals), o);
    else for (let n = 0; n < literals; n++) output[o + n] = input[i + n]!;
    i += literals;
    o += literals;
    // The last sequence has no match.
    if (i >= to) break;
    if (i + 2 > to) throw new UnpackError('the lz4 data ends within a match');
    const distance = input[i]! | (input[i + 1]! << 8);
    i += 2;
    let length = token & 15;
    if (length === 15) {
      let more = 255;
      while (more === 255 && i < to) length += more = input[i++]!;
    }
    length += MIN_MATCH;
    if (distance === 0 || distance > o - start) throw new UnpackError('an lz4 match reaches before the data');
    if (length > limit - o) throw new UnpackError('the lz4 data unpacks to more than it announces');
    copyMatch(output, o, distance, length);
    o += length;
  }
  return o;
}

/** A match may overlap what it makes, so that it repeats: then bytes go one by one. */
function copyMatch(output: Uint8Array, o: number, distance: number, length: number): void {
  if (distance >= length && length > 32) output.copyWithin(o, o - distance, o - distance + length);
  else for (let n = 0; n < length; n++) output[o + n] = output[o + n - distance]!;
}
