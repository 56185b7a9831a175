import { CrosvmError } from '../../errors.ts';
import { MAX_NOTIFICATION_SIZE } from '../../fuse/notification.ts';

/** Feature bit (VIRTIO 1.3, 5.11.3): there is a queue for notifications, number 1, if the driver knows it, too. */
export const VIRTIO_FS_F_NOTIFICATION = 0;

/** Bytes of the name that the guest mounts it by. */
export const FS_TAG_SIZE = 36;
export const FS_CONFIG_SIZE = FS_TAG_SIZE + 4;
/** The same with the bytes of a buffer for notifications, for devices that have VIRTIO_FS_F_NOTIFICATION. */
export const FS_NOTIFYING_CONFIG_SIZE = FS_CONFIG_SIZE + 4;

/** The bytes of a tag. Throws `E_FS_TAG` if it can be none. */
export function fsTag(tag: string): Uint8Array {
  const bytes = new TextEncoder().encode(tag);
  if (bytes.length === 0 || bytes.length > FS_TAG_SIZE || bytes.includes(0)) {
    throw new CrosvmError('E_FS_TAG', `a tag has 1 to ${FS_TAG_SIZE} bytes, "${tag}" has ${bytes.length}`);
  }
  return bytes;
}

/**
 * The configuration space (VIRTIO 1.3, 5.11.4): tag, padded with zeroes, number of request queues and, if the device `notifies`,
 * how large buffers for that have to be. Throws `E_FS_TAG`.
 */
export function fsConfig(tag: string, requestQueues: number, notifies: boolean): Uint8Array {
  const config = new Uint8Array(notifies ? FS_NOTIFYING_CONFIG_SIZE : FS_CONFIG_SIZE);
  config.set(fsTag(tag));
  const view = new DataView(config.buffer);
  view.setUint32(FS_TAG_SIZE, requestQueues, true);
  if (notifies) view.setUint32(FS_CONFIG_SIZE, MAX_NOTIFICATION_SIZE, true);
  return config;
}
