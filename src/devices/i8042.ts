import { sharedStruct } from '../memory/shared-struct.ts';
import { ByteDevice } from './byte-device.ts';
import type { InterruptLine } from './device.ts';

/** Offsets from port 0x60. */
export const I8042_DATA = 0;
export const I8042_COMMAND = 4;

const STATUS_OUTPUT_FULL = 0x01;
const STATUS_SELF_TEST_PASSED = 0x04;
const STATUS_COMMAND = 0x08;
const STATUS_AUX = 0x20;

const OUTPUT_A20 = 0x02;
const OUTPUT_RESET = 0x01;

/** What a device that is not there answers. */
const NO_DEVICE = 0xfe;
const CONTROL_DEFAULT = 0x30; // both interfaces disabled
const CONTROL_KEYBOARD_INTERRUPT = 0x01;

/** Commands that take a byte at the data port. */
const WRITE_CONTROL = 0x60;
const WRITE_OUTPUT_PORT = 0xd1;
const WRITE_KEYBOARD_BUFFER = 0xd2;
const WRITE_AUX_BUFFER = 0xd3;
const WRITE_AUX = 0xd4;

export const I8042State = sharedStruct({
  control: 'u8',
  output: 'u8',
  outputFull: 'u8',
  outputIsAux: 'u8',
  lastWasCommand: 'u8',
  /** The command that waits for its byte, or 0. */
  pendingCommand: 'u8',
  a20: 'u8',
  initialized: 'u8',
});

/**
 * A keyboard controller (Intel 8042 in a PS/2) with nothing plugged in. It passes its own tests, answers for the missing
 * devices at once, so that a driver's probe does not run into time-outs, and resets the machine when told so. What it
 * says in the keyboard's name interrupts as a keyboard would.
 */
export class I8042 extends ByteDevice {
  readonly #state: InstanceType<typeof I8042State>;
  readonly #interrupt: InterruptLine;
  readonly #onReset: () => void;

  /** `interrupt` is the keyboard's; `onReset` is called with the lock held. */
  constructor(state: InstanceType<typeof I8042State>, interrupt: InterruptLine, onReset: () => void) {
    super(state.lock);
    this.#state = state;
    this.#interrupt = interrupt;
    this.#onReset = onReset;
    state.lock.acquire();
    if (state.initialized === 0) {
      state.control = CONTROL_DEFAULT;
      state.a20 = 1;
      state.initialized = 1;
    }
    state.lock.release();
  }

  protected readByte(offset: number): number {
    const s = this.#state;
    if (offset === I8042_DATA) {
      s.outputFull = 0;
      this.#update();
      return s.output;
    }
    if (offset !== I8042_COMMAND) return 0xff;
    return (
      (s.outputFull !== 0 ? STATUS_OUTPUT_FULL : 0) |
      (s.control & STATUS_SELF_TEST_PASSED) |
      (s.lastWasCommand !== 0 ? STATUS_COMMAND : 0) |
      (s.outputFull !== 0 && s.outputIsAux !== 0 ? STATUS_AUX : 0) |
      0x10 // keyboard not locked
    );
  }

  protected writeByte(offset: number, value: number): void {
    if (offset === I8042_COMMAND) this.#command(value);
    else if (offset === I8042_DATA) this.#data(value);
    this.#update();
  }

  #command(value: number): void {
    const s = this.#state;
    s.lastWasCommand = 1;
    s.pendingCommand = 0;
    switch (value) {
      case 0x20:
        this.#reply(s.control);
        break;
      case WRITE_CONTROL:
      case WRITE_OUTPUT_PORT:
      case WRITE_KEYBOARD_BUFFER:
      case WRITE_AUX_BUFFER:
      case WRITE_AUX:
        s.pendingCommand = value;
        break;
      case 0xa7: // disable, enable the auxiliary interface
        s.control |= 0x20;
        break;
      case 0xa8:
        s.control &= ~0x20;
        break;
      case 0xa9: // test of the auxiliary interface: clock line stuck, nobody is there
        this.#reply(0x01);
        break;
      case 0xaa:
        s.control |= STATUS_SELF_TEST_PASSED;
        this.#reply(0x55);
        break;
      case 0xab: // test of the keyboard interface
        this.#reply(0x00);
        break;
      case 0xad: // disable, enable the keyboard interface
        s.control |= 0x10;
        break;
      case 0xae:
        s.control &= ~0x10;
        break;
      case 0xd0:
        this.#reply(OUTPUT_RESET | (s.a20 !== 0 ? OUTPUT_A20 : 0));
        break;
      default:
        // 0xf0-0xff pulse the output lines whose bits are clear; line 0 is the processor's reset.
        if (value >= 0xf0 && (value & OUTPUT_RESET) === 0) this.#onReset();
        break;
    }
  }

  #data(value: number): void {
    const s = this.#state;
    const command = s.pendingCommand;
    s.lastWasCommand = 0;
    s.pendingCommand = 0;
    switch (command) {
      case WRITE_CONTROL:
        s.control = value;
        break;
      case WRITE_OUTPUT_PORT:
        s.a20 = (value & OUTPUT_A20) >> 1;
        if ((value & OUTPUT_RESET) === 0) this.#onReset();
        break;
      case WRITE_KEYBOARD_BUFFER:
      case WRITE_AUX_BUFFER: // comes back as the keyboard's: drivers see by it that there is no auxiliary port
        this.#reply(value);
        break;
      case WRITE_AUX:
        this.#reply(NO_DEVICE, true);
        break;
      default: // for the keyboard
        this.#reply(NO_DEVICE);
        break;
    }
  }

  #update(): void {
    const { outputFull, outputIsAux, control } = this.#state;
    this.#interrupt.set(outputFull !== 0 && outputIsAux === 0 && (control & CONTROL_KEYBOARD_INTERRUPT) !== 0);
  }

  #reply(value: number, aux = false): void {
    const s = this.#state;
    s.output = value;
    s.outputFull = 1;
    s.outputIsAux = aux ? 1 : 0;
  }
}
