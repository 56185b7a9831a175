import { CrosvmError } from '../../errors.ts';

/** The one feature that there is: the configuration has a tag. */
export const VIRTIO_9P_MOUNT_TAG = 0;

/** Bytes that our front ends have room for; there is no limit in the specification. */
const MAX_TAG = 254;

/** The configuration space: u16 length of the tag, and the tag, by which the guest mounts it. Throws `E_9P_TAG`. */
export function p9Config(tag: string): Uint8Array {
  const bytes = new TextEncoder().encode(tag);
  if (bytes.length === 0 || bytes.length > MAX_TAG || bytes.includes(0)) {
    throw new CrosvmError('E_9P_TAG', `a tag has 1 to ${MAX_TAG} bytes and no zero, "${tag}" has ${bytes.length}`);
  }
  const config = new Uint8Array(2 + bytes.length);
  new DataView(config.buffer).setUint16(0, bytes.length, true);
  config.set(bytes, 2);
  return config;
}
