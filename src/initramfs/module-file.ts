import { CrosvmError } from '../errors.ts';
import { detectPayload, type PlatformUnpackers } from '../loader/unpack/payload.ts';
import { xzUnpackedSize } from '../loader/unpack/xz.ts';

/** Many times what the largest driver of a file system has; this includes what it is when it is unpacked. */
export const MAX_MODULE_SIZE = 32 << 20;

/** A module as init_module(2) takes it, of a file that may be compressed (.ko, .ko.gz, .ko.xz, .ko.zst). Throws `E_MODULES`. */
export function unpackModule(name: string, bytes: Uint8Array, platform: PlatformUnpackers): Uint8Array {
  const format = detectPayload(bytes, platform);
  if (format === undefined) return bytes;
  try {
    const size = format.name === 'xz' ? xzUnpackedSize(bytes) : MAX_MODULE_SIZE;
    if (size > MAX_MODULE_SIZE) throw new RangeError(`it announces ${size} bytes`);
    return format.unpack(bytes, size);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CrosvmError('E_MODULES', `${name}: the module cannot be unpacked: ${why}`, { cause });
  }
}
