/** How clusters are compressed. */
export type CompressionType = 'zlib' | 'zstd';

/** Compressed data as images hold it. The edge (`src/base/image-codec.ts`) brings the implementation. */
export interface Codec {
  /** Raw deflate, as qcow2 uses it: window of at most 4 KiB, bytes behind the end of the stream ignored. At most `size` bytes. */
  inflate(input: Uint8Array, size: number): Uint8Array;
  /** One zstd frame, and nothing behind it. */
  zstdDecompress(input: Uint8Array, size: number): Uint8Array;
  compress(type: CompressionType, input: Uint8Array): Uint8Array;
}
