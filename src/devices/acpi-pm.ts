import {
  GPE0_LENGTH,
  GPE0_OFFSET,
  PM1_CONTROL_OFFSET,
  PM1_ENABLE_OFFSET,
  PM1_STATUS_OFFSET,
  SLEEP_TYPE_S1,
  SLEEP_TYPE_S5,
} from '../arch/x86_64/platform.ts';
import { sharedStruct } from '../memory/shared-struct.ts';
import { ByteDevice } from './byte-device.ts';
import type { InterruptLine } from './device.ts';

/** PM1 status and enable bits (ACPI 6.3, tables 4.14 and 4.15). */
const POWER_BUTTON = 1 << 8;
const SLEEP_BUTTON = 1 << 9;
const RTC = 1 << 10;
const GLOBAL_LOCK = 1 << 5;
const WAKE = 1 << 15;
const EVENTS = POWER_BUTTON | SLEEP_BUTTON | RTC | GLOBAL_LOCK;
const STATUS_CLEARABLE = EVENTS | WAKE;

/** PM1 control bits (table 4.16). */
const SCI_ENABLE = 1 << 0;
const SLEEP_TYPE_SHIFT = 10;
const SLEEP_ENABLE = 1 << 13;
const CONTROL_KEPT = (7 << SLEEP_TYPE_SHIFT) | (1 << 1);

const GPE_BYTES = GPE0_LENGTH / 2;
const GPE_ENABLE_OFFSET = GPE0_OFFSET + GPE_BYTES;

export const AcpiPmState = sharedStruct({
  status: 'u16',
  enable: 'u16',
  control: 'u16',
  gpeStatus: ['u8', GPE_BYTES],
  gpeEnable: ['u8', GPE_BYTES],
});

export interface AcpiPmDeps {
  /** The SCI, level-triggered. */
  readonly interrupt: InterruptLine;
  /** The guest asked for S5. Called with the lock held. */
  readonly onPowerOff: () => void;
  /** The guest asked for S1: pause it and then call `wake`. Called with the lock held; without it S1 ends at once. */
  readonly onSuspend?: () => void;
}

/**
 * The fixed hardware of ACPI (ACPI 6.3, 4.8): PM1 events and control, and a block of 256 general-purpose events. The
 * machine is always in ACPI mode. There is no PM timer.
 */
export class AcpiPm extends ByteDevice {
  readonly #state: InstanceType<typeof AcpiPmState>;
  readonly #deps: AcpiPmDeps;

  constructor(state: InstanceType<typeof AcpiPmState>, deps: AcpiPmDeps) {
    super(state.lock);
    this.#state = state;
    this.#deps = deps;
  }

  pressPowerButton(): void {
    this.#raise(POWER_BUTTON);
  }

  pressSleepButton(): void {
    this.#raise(SLEEP_BUTTON);
  }

  /** Ends a sleep that `onSuspend` announced. */
  wake(): void {
    this.#raise(WAKE);
  }

  /** Sets the status of general-purpose event `event` (0-255). */
  raiseGpe(event: number): void {
    if (!(event >= 0 && event < GPE_BYTES * 8)) throw new RangeError(`there is no general-purpose event ${event}`);
    const s = this.#state;
    s.lock.acquire();
    s.gpeStatus[event >> 3] = s.gpeStatus[event >> 3]! | (1 << (event & 7));
    this.#update();
    s.lock.release();
  }

  protected readByte(offset: number): number {
    const s = this.#state;
    const shift = (offset & 1) * 8;
    switch (offset & ~1) {
      case PM1_STATUS_OFFSET:
        return (s.status >> shift) & 0xff;
      case PM1_ENABLE_OFFSET:
        return (s.enable >> shift) & 0xff;
      case PM1_CONTROL_OFFSET:
        return ((s.control | SCI_ENABLE) >> shift) & 0xff;
      default:
        break;
    }
    if (offset >= GPE_ENABLE_OFFSET) return s.gpeEnable[offset - GPE_ENABLE_OFFSET] ?? 0xff;
    return offset >= GPE0_OFFSET ? s.gpeStatus[offset - GPE0_OFFSET]! : 0xff;
  }

  protected writeByte(offset: number, value: number): void {
    const s = this.#state;
    const shift = (offset & 1) * 8;
    const rest = 0xff00 >> shift;
    switch (offset & ~1) {
      case PM1_STATUS_OFFSET:
        s.status &= ~((value << shift) & STATUS_CLEARABLE);
        break;
      case PM1_ENABLE_OFFSET:
        s.enable = (s.enable & rest) | ((value << shift) & EVENTS);
        break;
      case PM1_CONTROL_OFFSET:
        s.control = (s.control & rest) | ((value << shift) & CONTROL_KEPT);
        if ((value << shift) & SLEEP_ENABLE) this.#sleep();
        break;
      default:
        this.#writeGpe(offset, value);
    }
    this.#update();
  }

  #writeGpe(offset: number, value: number): void {
    const s = this.#state;
    if (offset >= GPE_ENABLE_OFFSET)
      s.gpeEnable[offset - GPE_ENABLE_OFFSET] = value; // beyond the end: no element
    else if (offset >= GPE0_OFFSET) s.gpeStatus[offset - GPE0_OFFSET] = s.gpeStatus[offset - GPE0_OFFSET]! & ~value;
  }

  #sleep(): void {
    const type = (this.#state.control >> SLEEP_TYPE_SHIFT) & 7;
    if (type === SLEEP_TYPE_S5) this.#deps.onPowerOff();
    else if (type === SLEEP_TYPE_S1) {
      if (this.#deps.onSuspend === undefined) this.#state.status |= WAKE;
      else this.#deps.onSuspend();
    }
  }

  #raise(bit: number): void {
    const s = this.#state;
    s.lock.acquire();
    s.status |= bit;
    this.#update();
    s.lock.release();
  }

  #update(): void {
    const s = this.#state;
    let asserted = (s.status & s.enable & EVENTS) !== 0;
    for (let i = 0; i < GPE_BYTES && !asserted; i++) asserted = (s.gpeStatus[i]! & s.gpeEnable[i]!) !== 0;
    this.#deps.interrupt.set(asserted);
  }
}
