import type { BusDevice } from './bus.ts';

/**
 * A device with 32-bit registers at aligned offsets (the APICs). A read of any width and alignment gives the bytes of
 * the registers that it covers. A write of at least four bytes at a register's start writes that register; narrower or
 * misaligned writes are swallowed (Intel SDM vol. 3, 11.4.1 leaves them undefined).
 */
export abstract class DwordDevice implements BusDevice {
  read(offset: number, data: Uint8Array): void {
    let register = -1;
    let value = 0;
    for (let i = 0; i < data.length; i++) {
      const at = offset + i;
      if (at >> 2 !== register) {
        register = at >> 2;
        value = this.readRegister(register << 2);
      }
      data[i] = value >>> ((at & 3) * 8);
    }
  }

  write(offset: number, data: Uint8Array): void {
    if ((offset & 3) !== 0) return;
    for (let i = 0; i + 4 <= data.length; i += 4) {
      const value = data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24);
      this.writeRegister(offset + i, value >>> 0);
    }
  }

  /** `offset` is a multiple of 4. */
  protected abstract readRegister(offset: number): number;
  /** `offset` is a multiple of 4, `value` an unsigned 32-bit number. */
  protected abstract writeRegister(offset: number, value: number): void;
}
