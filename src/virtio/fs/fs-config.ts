import { CrosvmError } from '../../errors.ts';

/** Bytes of the name that the guest mounts it by. */
export const FS_TAG_SIZE = 36;
export const FS_CONFIG_SIZE = FS_TAG_SIZE + 4;

/** The configuration space (VIRTIO 1.3, 5.11.4): tag, padded with zeroes, and number of request queues. Throws `E_FS_TAG`. */
export function fsConfig(tag: string, requestQueues: number): Uint8Array {
  const bytes = new TextEncoder().encode(tag);
  if (bytes.length === 0 || bytes.length > FS_TAG_SIZE || bytes.includes(0)) {
    throw new CrosvmError('E_FS_TAG', `a tag has 1 to ${FS_TAG_SIZE} bytes, "${tag}" has ${bytes.length}`);
  }
  const config = new Uint8Array(FS_CONFIG_SIZE);
  config.set(bytes);
  new DataView(config.buffer).setUint32(FS_TAG_SIZE, requestQueues, true);
  return config;
}
