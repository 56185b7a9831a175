import { promisify } from 'node:util';
import { deflateRaw, inflateRawSync, zstdCompress, zstdDecompressSync } from 'node:zlib';
import type { Codec } from '../disk/codec.ts';

const deflateRawLater = promisify(deflateRaw) as (input: Uint8Array, options: object) => Promise<Uint8Array>;
const zstdCompressLater = promisify(zstdCompress) as (input: Uint8Array) => Promise<Uint8Array>;

/** Readers of qcow2 have a window of 4 KiB. */
const QCOW2_DEFLATE = { windowBits: 12, memLevel: 9 };

/** Node's own zlib and zstd. They throw Node's errors on bad input and never make more than asked. */
export const imageCodec: Codec = {
  inflate: (input, size) => inflateRawSync(input, { maxOutputLength: size }),
  zstdDecompress: (input, size) => zstdDecompressSync(input, { maxOutputLength: size }),
  compress: (type, input) => (type === 'zlib' ? deflateRawLater(input, QCOW2_DEFLATE) : zstdCompressLater(input)),
};
