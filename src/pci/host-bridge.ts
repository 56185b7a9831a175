import { ECAM_ADDRESS } from '../arch/x86_64/platform.ts';
import { ConfigSpace, type ConfigState } from './config-space.ts';
import type { PciDevice } from './pci-device.ts';

const PCIEXBAR = 0x60;
const PCIEXBAR_ENABLE = 1;

/** Device 0 of the bus: an Intel 82441FX with the register that tells firmware where the ECAM window is. */
export class HostBridge implements PciDevice {
  readonly config: ConfigSpace;

  constructor(state: InstanceType<typeof ConfigState>) {
    this.config = new ConfigSpace(state, { vendor: 0x8086, device: 0x1237, classCode: 0x06_0000 });
  }

  readConfig(register: number, data: Uint8Array): boolean {
    if (register < PCIEXBAR || register + data.length > PCIEXBAR + 8) return false;
    const value = ECAM_ADDRESS + PCIEXBAR_ENABLE;
    for (let i = 0; i < data.length; i++) {
      const byte = register + i - PCIEXBAR;
      data[i] = byte < 4 ? value >>> (8 * byte) : 0;
    }
    return true;
  }

  readBar(_bar: number, _offset: number, data: Uint8Array): void {
    data.fill(0xff);
  }

  writeBar(): void {}
}
