/** Lengths of zstd frames, RFC 8878 section 3.1. */
const MAGIC = 0xfd2fb528;
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;
const BLOCK_HEADER = 3;

/** How many bytes the frame at the start of `bytes` has, or undefined if there is no whole one. */
export function zstdFrameLength(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 5 || view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor >> 5) & 1;
  const hasChecksum = (descriptor >> 2) & 1;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3]!;
  const contentSize = [singleSegment, 2, 4, 8][descriptor >> 6]!;
  let at = 5 + (1 - singleSegment) + dictionaryId + contentSize;
  for (;;) {
    if (at + BLOCK_HEADER > bytes.length) return undefined;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (header >> 1) & 3;
    if (type === BLOCK_RESERVED) return undefined;
    at += BLOCK_HEADER + (type === BLOCK_RLE ? 1 : header >> 3);
    if ((header & 1) === 1) break;
  }
  at += hasChecksum * 4;
  return at <= bytes.length ? at : undefined;
}
