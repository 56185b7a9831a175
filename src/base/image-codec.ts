import { deflateRawSync, inflateRawSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Codec } from '../disk/codec.ts';

/** Readers of qcow2 have a window of 4 KiB. */
const QCOW2_DEFLATE = { windowBits: 12, memLevel: 9 };

/** Node's own zlib and zstd. They throw Node's errors on bad input and never make more than asked. */
export const imageCodec: Codec = {
  inflate: (input, size) => inflateRawSync(input, { maxOutputLength: size }),
  zstdDecompress: (input, size) => zstdDecompressSync(input, { maxOutputLength: size }),
  compress(type, input) {
    if (type === 'zlib') return deflateRawSync(input, QCOW2_DEFLATE);
    // Told the size, it takes tables of that size: several times faster.
    return zstdCompressSync(input, { pledgedSrcSize: input.length });
  },
};
