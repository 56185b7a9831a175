import { unpackLz4 } from './lz4.ts';
import { unpackXz } from './xz.ts';

/** Unpacks `input` to exactly `outputSize` bytes; throws if the input is broken or would give more. */
export type Unpack = (input: Uint8Array, outputSize: number) => Uint8Array;

/** Decoders that the platform has anyway; they come from an edge (`src/base/zlib.ts`). */
export interface PlatformUnpackers {
  readonly gzip: Unpack;
  readonly zstd: Unpack;
}

/** A kernel may unpack to this many bytes; what announces more is an attack or broken. */
export const MAX_UNPACKED_SIZE = 512 << 20;

export interface PayloadFormat {
  readonly name: 'gzip' | 'xz' | 'lz4' | 'zstd';
  readonly unpack: Unpack;
  /** Whether the build of Linux appends the unpacked size; gzip ends with that size by itself. */
  readonly sizeAppended: boolean;
}

/** Tells by the magic how a bzImage's payload is packed; undefined for formats that only the kernel itself unpacks. */
export function detectPayload(head: Uint8Array, platform: PlatformUnpackers): PayloadFormat | undefined {
  const begins = (...magic: number[]) => magic.every((byte, i) => head[i] === byte);
  if (begins(0x1f, 0x8b)) return { name: 'gzip', unpack: platform.gzip, sizeAppended: false };
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)) return { name: 'xz', unpack: unpackXz, sizeAppended: true };
  if (begins(0x02, 0x21, 0x4c, 0x18)) return { name: 'lz4', unpack: unpackLz4, sizeAppended: true };
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return { name: 'zstd', unpack: platform.zstd, sizeAppended: true };
  return undefined;
}
