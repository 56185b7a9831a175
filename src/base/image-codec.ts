import { deflateRawSync, inflateRawSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Codec } from '../disk/codec.ts';

/** Node's own zlib and zstd. They throw Node's errors on bad input and never make more than asked. */
export const imageCodec: Codec = {
  inflate: (input, size) => inflateRawSync(input, { maxOutputLength: size }),
  deflate: (input) => deflateRawSync(input, { windowBits: 12 }),
  zstdDecompress: (input, size) => zstdDecompressSync(input, { maxOutputLength: size }),
  zstdCompress: (input) => zstdCompressSync(input),
};
