import { undoBcjX86 } from './bcj-x86.ts';
import { crc32, crc64 } from './crc.ts';
import { LzmaDecoder } from './lzma.ts';
import { UnpackError } from './unpack-error.ts';

/**
 * Unpacks .xz data ("The .xz File Format" 1.1): one stream of blocks with LZMA2, alone or behind the x86 branch filter,
 * with CRC-32, CRC-64 or no check. The result has exactly `outputSize` bytes. Throws UnpackError.
 */
export function unpackXz(input: Uint8Array, outputSize: number): Uint8Array {
  const output = new Uint8Array(outputSize);
  const checkType = readStreamHeader(input);
  const blocks: BlockSizes[] = [];
  let at = STREAM_HEADER_SIZE;
  let filled = 0;
  // An index begins with a zero byte where a block has its header's size.
  while (byteAt(input, at) !== 0) {
    const block = unpackBlock(input, at, output.subarray(filled), checkType);
    blocks.push({ unpadded: block.unpadded, unpacked: block.unpacked });
    filled += block.unpacked;
    at = block.end;
  }
  checkIndex(input, at, blocks);
  if (filled !== outputSize) throw new UnpackError(`the xz data unpacks to ${filled} bytes instead of ${outputSize}`);
  return output;
}

/** How many bytes a single stream announces in its index, which `unpackXz` checks. Throws UnpackError. */
export function xzUnpackedSize(input: Uint8Array): number {
  const footer = input.length - STREAM_FOOTER_SIZE;
  if (footer < STREAM_HEADER_SIZE || input[footer + 10] !== 0x59 || input[footer + 11] !== 0x5a) {
    throw new UnpackError('the xz data has no footer');
  }
  const index = footer - (u32At(input, footer + 4) + 1) * 4;
  if (index < STREAM_HEADER_SIZE) throw new UnpackError('the xz index is not within the data');
  const reader = { bytes: input.subarray(0, footer), at: index + 1 };
  let size = 0;
  for (let blocks = readVarint(reader); blocks > 0; blocks--) {
    readVarint(reader);
    size += readVarint(reader);
  }
  return size;
}

const STREAM_HEADER_SIZE = 12;
const STREAM_FOOTER_SIZE = 12;
const CHECK_SIZES: ReadonlyMap<number, number> = new Map([
  [0, 0],
  [1, 4],
  [4, 8],
]);
const FILTER_BCJ_X86 = 4;
const FILTER_LZMA2 = 0x21;

interface BlockSizes {
  /** Header, data and check, without padding. */
  readonly unpadded: number;
  readonly unpacked: number;
}

function readStreamHeader(input: Uint8Array): number {
  if (input.length < STREAM_HEADER_SIZE) throw new UnpackError('the xz data ends early');
  if (u32At(input, 8) !== crc32(input.subarray(6, 8))) throw new UnpackError('the xz header has a wrong checksum');
  const checkType = input[7]!;
  if (input[6] !== 0 || !CHECK_SIZES.has(checkType)) {
    throw new UnpackError(`xz check type ${checkType} is not supported (only none, CRC-32 and CRC-64)`);
  }
  return checkType;
}

function unpackBlock(
  input: Uint8Array,
  start: number,
  output: Uint8Array,
  checkType: number,
): BlockSizes & { end: number } {
  const headerSize = (byteAt(input, start) + 1) * 4;
  const hasBranchFilter = readBlockHeader(input, start, headerSize);
  const decoder = new LzmaDecoder(input, output);
  const dataEnd = decodeLzma2(decoder, input, start + headerSize);
  const unpacked = output.subarray(0, decoder.filled);
  if (hasBranchFilter) undoBcjX86(unpacked);
  const checkAt = start + Math.ceil((dataEnd - start) / 4) * 4;
  for (let at = dataEnd; at < checkAt; at++) {
    if (byteAt(input, at) !== 0) throw new UnpackError('the padding of an xz block is not zero');
  }
  verifyCheck(input, checkAt, checkType, unpacked);
  const checkSize = CHECK_SIZES.get(checkType)!;
  return { unpadded: dataEnd - start + checkSize, unpacked: unpacked.length, end: checkAt + checkSize };
}

/** Checks the block header; returns whether the x86 filter is in the chain. */
function readBlockHeader(input: Uint8Array, start: number, size: number): boolean {
  const header = input.subarray(start, start + size);
  if (header.length < size) throw new UnpackError('the xz data ends early');
  if (u32At(header, size - 4) !== crc32(header.subarray(0, size - 4))) {
    throw new UnpackError('an xz block header has a wrong checksum');
  }
  const flags = header[1]!;
  if ((flags & 0x3c) !== 0) throw new UnpackError('an xz block header has unknown flags');
  const reader = { bytes: header, at: 2 };
  if (flags & 0x40) readVarint(reader);
  if (flags & 0x80) readVarint(reader);
  const filters: number[] = [];
  for (let n = 0; n <= (flags & 3); n++) {
    filters.push(readVarint(reader));
    const length = readVarint(reader);
    // A start offset of the branch filter is allowed by the format and made by nobody.
    if (filters.at(-1) === FILTER_BCJ_X86 && length !== 0) throw new UnpackError('an xz filter has a start offset');
    reader.at += length;
  }
  if (
    filters.at(-1) !== FILTER_LZMA2 ||
    filters.length > 2 ||
    (filters.length === 2 && filters[0] !== FILTER_BCJ_X86)
  ) {
    throw new UnpackError(`the xz filters ${filters.join(', ')} are not supported (only x86 and LZMA2)`);
  }
  return filters.length === 2;
}

/** Decodes chunks until the end marker; returns the offset behind it. */
function decodeLzma2(decoder: LzmaDecoder, input: Uint8Array, start: number): number {
  let at = start;
  let needDictionaryReset = true;
  let needStateReset = true;
  let needProperties = true;
  for (;;) {
    const control = byteAt(input, at);
    if (control === 0) return at + 1;
    if (control === 1 || control >= 0xe0) {
      decoder.resetDictionary();
      needDictionaryReset = false;
      // The state of before must not be used after a dictionary reset by an uncompressed chunk.
      if (control === 1) needStateReset = true;
    }
    if (needDictionaryReset) throw new UnpackError('the LZMA2 data does not begin with a dictionary reset');
    if (control < 0x80) {
      if (control > 2) throw new UnpackError(`bad LZMA2 control byte ${control}`);
      const size = ((byteAt(input, at + 1) << 8) | byteAt(input, at + 2)) + 1;
      requireBytes(input, at + 3, size);
      decoder.copy(at + 3, size);
      at += 3 + size;
      continue;
    }
    const unpacked = (((control & 0x1f) << 16) | (byteAt(input, at + 1) << 8) | byteAt(input, at + 2)) + 1;
    const packed = ((byteAt(input, at + 3) << 8) | byteAt(input, at + 4)) + 1;
    at += 5;
    if (control >= 0xc0) {
      decoder.setProperties(byteAt(input, at++));
      needProperties = false;
    }
    if (needProperties) throw new UnpackError('an LZMA2 chunk lacks its properties');
    if (control >= 0xa0) {
      decoder.resetState();
      needStateReset = false;
    }
    if (needStateReset) throw new UnpackError('an LZMA2 chunk lacks a state reset');
    requireBytes(input, at, packed);
    decoder.decode(at, at + packed, unpacked);
    at += packed;
  }
}

function verifyCheck(input: Uint8Array, at: number, type: number, unpacked: Uint8Array): void {
  requireBytes(input, at, CHECK_SIZES.get(type)!);
  let good = true;
  if (type === 1) {
    good = u32At(input, at) === crc32(unpacked);
  } else if (type === 4) {
    const { low, high } = crc64(unpacked);
    good = u32At(input, at) === low && u32At(input, at + 4) === high;
  }
  if (!good) throw new UnpackError('the xz data has a wrong checksum');
}

function checkIndex(input: Uint8Array, start: number, blocks: readonly BlockSizes[]): void {
  const reader = { bytes: input, at: start + 1 };
  let good = readVarint(reader) === blocks.length;
  for (const block of blocks) {
    if (!good) break;
    good = readVarint(reader) === block.unpadded && readVarint(reader) === block.unpacked;
  }
  const end = start + Math.ceil((reader.at - start) / 4) * 4;
  requireBytes(input, end, 4);
  if (!good || u32At(input, end) !== crc32(input.subarray(start, end))) {
    throw new UnpackError('the xz index does not match the data');
  }
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

/** A variable-length integer: seven bits a byte, lowest first; at most what fits a Number. */
function readVarint(reader: Reader): number {
  let value = 0;
  for (let scale = 1; scale <= 2 ** 42; scale *= 128) {
    const byte = byteAt(reader.bytes, reader.at++);
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
  throw new UnpackError('an xz number is too large');
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new UnpackError('the xz data ends early');
  return byte;
}

function requireBytes(bytes: Uint8Array, at: number, length: number): void {
  if (length > bytes.length - at) throw new UnpackError('the xz data ends early');
}

function u32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
