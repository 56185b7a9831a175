import type { BusDevice } from './bus.ts';

/** Ports that swallow writes and read as zero: POST codes, I/O delays, the FPU's error acknowledge. */
export class NullDevice implements BusDevice {
  read(_offset: number, data: Uint8Array): void {
    data.fill(0);
  }

  write(): void {}
}
