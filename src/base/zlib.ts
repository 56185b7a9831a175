import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { PlatformUnpackers } from '../loader/unpack/payload.ts';

/** gzip and zstd by Node's own libraries. They throw Node's errors on bad input and never make more than asked. */
export const platformUnpackers: PlatformUnpackers = {
  gzip: (input, outputSize) => gunzipSync(input, { maxOutputLength: outputSize }),
  zstd: (input, outputSize) => zstdDecompressSync(input, { maxOutputLength: outputSize }),
};
