import { DEBUGCON_READBACK } from '../arch/x86_64/platform.ts';
import type { BusDevice } from './bus.ts';
import type { ByteSink } from './device.ts';

/** The debug console of firmware: bytes written to its port are text, and reads say that it is there. */
export class DebugConsole implements BusDevice {
  readonly #output: ByteSink;

  constructor(output: ByteSink) {
    this.#output = output;
  }

  read(_offset: number, data: Uint8Array): void {
    data.fill(DEBUGCON_READBACK);
  }

  /** A string instruction comes as many accesses; a wide one is its bytes in order. */
  write(_offset: number, data: Uint8Array): void {
    this.#output.write(data);
  }
}
