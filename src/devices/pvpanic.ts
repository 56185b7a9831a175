import { ConfigSpace, type ConfigState } from '../pci/config-space.ts';
import type { PciDevice } from '../pci/pci-device.ts';

/** Bytes of BAR 0. */
export const PVPANIC_BAR_SIZE = 16;

/** Events (QEMU's pvpanic specification). */
const PANICKED = 1;
const CRASH_LOADED = 2;

/** Tells the host that the guest's kernel panicked, or that its crash kernel took over. */
export class Pvpanic implements PciDevice {
  readonly config: ConfigSpace;
  readonly #onPanic: () => void;

  /** `address` is where BAR 0 starts. */
  constructor(state: InstanceType<typeof ConfigState>, address: number, onPanic: () => void) {
    this.#onPanic = onPanic;
    this.config = new ConfigSpace(state, {
      vendor: 0x1b36,
      device: 0x0011,
      revision: 1,
      classCode: 0x08_8000, // system peripheral, other
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      bars: [{ index: 0, kind: 'memory32', size: PVPANIC_BAR_SIZE, address }],
    });
  }

  /** The events that the host knows. */
  readBar(_bar: number, offset: number, data: Uint8Array): void {
    data.fill(0);
    if (offset === 0) data[0] = PANICKED | CRASH_LOADED;
  }

  writeBar(_bar: number, offset: number, data: Uint8Array): void {
    if (offset === 0 && (data[0]! & (PANICKED | CRASH_LOADED)) !== 0) this.#onPanic();
  }
}
