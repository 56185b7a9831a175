/** The windows of a VM: first files that are memory from the start, then the shared memory of devices. */
import type { AddressRange } from '../arch/x86_64/memory-map.ts';
import type { VmAccess } from '../hypervisor/hypervisor.ts';
import type { WindowOptions } from '../memory/memory-window.ts';
import type { SharedMemoryBar } from '../pci/virtio-pci/shared-memory.ts';
import type { DevicePlace } from './devices/connect-device.ts';
import { mapPmemFile, type PmemFile, pmemWindow, sharedPmem } from './devices/pmem.ts';
import type { ManagedDevice } from './devices/vm-device.ts';

/** Pieces of files in the shared memory of one device: Linux maps 2 MiB at a time, so these are 8 GiB. */
const MAX_SHARED_PIECES = 4096;

interface Sharer {
  readonly device: ManagedDevice;
  readonly bar: SharedMemoryBar;
}

export class VmWindows {
  readonly #files: readonly PmemFile[];
  readonly #sharers: readonly Sharer[];

  /** Asks all devices that may share memory. Throws `E_DEVICE`. */
  static async of(files: readonly PmemFile[], devices: readonly ManagedDevice[]): Promise<VmWindows> {
    const sharers: Sharer[] = [];
    for (const device of devices) {
      const bar = await device.sharedMemory();
      if (bar !== undefined) sharers.push({ device, bar });
    }
    return new VmWindows(files, sharers);
  }

  private constructor(files: readonly PmemFile[], sharers: readonly Sharer[]) {
    this.#files = files;
    this.#sharers = sharers;
  }

  /** What the VM is to be made with. */
  get options(): WindowOptions[] {
    const shared = this.#sharers.map(({ bar }) => ({ size: bar.size, maxPieces: MAX_SHARED_PIECES }));
    return [...this.#files.map(pmemWindow), ...shared];
  }

  /** What messages call them. */
  get names(): string[] {
    return [...this.#files.map(({ file }) => file.name), ...this.#sharers.map(({ device }) => device.plan.name)];
  }

  /** Where the files are in the guest. */
  get fileRanges(): AddressRange[] {
    return this.#files.map(({ range }) => range);
  }

  /** Makes the files memory of the VM. Throws `SystemError`. */
  mapFiles({ windows }: VmAccess): void {
    for (const [i, file] of this.#files.entries()) mapPmemFile(file, windows[i]!);
  }

  /** What of all this is for one device. */
  placeOf(device: ManagedDevice): Omit<DevicePlace, 'firstGsi'> {
    const index = this.#sharers.findIndex((sharer) => sharer.device === device);
    return {
      window: index < 0 ? undefined : this.#files.length + index,
      files: this.#files.map(sharedPmem).filter((file) => file !== undefined),
    };
  }
}
