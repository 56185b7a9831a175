/** zstd's seekable format, contrib/seekable_format/zstd_seekable_compression_format.md of zstd; numbers are little-endian. */
export const SKIPPABLE_MAGIC = 0x184d2a5e;
export const SEEKABLE_MAGIC = 0x8f92eab1;
/** Of a skippable frame. */
export const FRAME_HEADER = 8;
/** Number of frames, descriptor, magic: at the end of the file. */
export const FOOTER = 9;
/** Of the descriptor. */
export const HAS_CHECKSUMS = 0x80;
export const RESERVED_BITS = 0x7c;
