import { close, fdatasync } from '../base/fd.ts';
import { PmemDevice } from '../virtio/pmem/pmem-device.ts';
import type { PmemSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

/** What the guest stores is in the page cache at once, through the mapping of the VMM: to flush takes only the file. */
export function createPmem({ fd, ...range }: PmemSpec): MadeDevice {
  return {
    device: new PmemDevice(
      range,
      () => fdatasync(fd),
      () => close(fd),
    ),
  };
}
