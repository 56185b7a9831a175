import { sharedStruct } from '../memory/shared-struct.ts';
import { ByteDevice } from './byte-device.ts';

const FAST_RESET = 0x01;
const FAST_A20 = 0x02;

export const SystemControlAState = sharedStruct({ value: 'u8' });

/** Port 0x92 of the PS/2: bit 0 rising resets, bit 1 is the A20 gate, which nothing here needs and which starts open. */
export class SystemControlA extends ByteDevice {
  readonly #state: InstanceType<typeof SystemControlAState>;
  readonly #onReset: () => void;

  /** `onReset` is called with the lock held. */
  constructor(state: InstanceType<typeof SystemControlAState>, onReset: () => void) {
    super(state.lock);
    this.#state = state;
    this.#onReset = onReset;
  }

  protected readByte(offset: number): number {
    return offset === 0 ? this.#state.value ^ FAST_A20 : 0xff;
  }

  protected writeByte(offset: number, value: number): void {
    if (offset !== 0) return;
    this.#state.value = (value & FAST_A20) ^ FAST_A20; // kept inverted: a fresh state is an open gate
    if (value & FAST_RESET) this.#onReset();
  }
}
