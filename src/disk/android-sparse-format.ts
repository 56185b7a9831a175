/** Android sparse images, as in the Android platform's system/core/libsparse/sparse_format.h; numbers are little-endian. */
export const SPARSE_MAGIC = 0xed26ff3a;
export const MAJOR_VERSION = 1;
/** Bytes of the two kinds of headers. */
export const FILE_HEADER = 28;
export const CHUNK_HEADER = 12;
/** Data as they are, 4 bytes again and again, nothing, and a checksum of what came before. */
export const CHUNK_RAW = 0xcac1;
export const CHUNK_FILL = 0xcac2;
export const CHUNK_DONT_CARE = 0xcac3;
export const CHUNK_CRC32 = 0xcac4;
