import type { BusDevice } from '../devices/bus.ts';
import { ByteDevice } from '../devices/byte-device.ts';
import type { Clock, InterruptLine, TimedDevice } from '../devices/device.ts';
import { sharedStruct } from '../memory/shared-struct.ts';
import { counterValue, expiresAgain, firstRise, outputLevel } from './pit-modes.ts';

/** Input clock of all three counters. */
export const PIT_HZ = 1_193_182;

const CHANNELS = 3;
const SPEAKER_CHANNEL = 2;
const CONTROL = 3;
const READ_BACK = 3;

const ACCESS_LATCH = 0;
const ACCESS_LOW = 1;
const ACCESS_HIGH = 2;

/** The refresh bit of port 0x61 toggles with this half period. */
const REFRESH_NS = 15_085;

/** IRQ 0 comes no more often than this, whatever the guest programs. */
const SHORTEST_PERIOD_NS = 50_000;

const NEVER = Number.POSITIVE_INFINITY;

/** Arrays have an element for each counter. */
export const PitState = sharedStruct({
  mode: ['u8', CHANNELS],
  bcd: ['u8', CHANNELS],
  /** 1 low byte, 2 high byte, 3 low byte and then high byte. */
  access: ['u8', CHANNELS],
  /** Count in clocks, 1-65536. */
  count: ['u32', CHANNELS],
  /** Whether a count has been written since the mode. */
  loaded: ['u8', CHANNELS],
  gate: ['u8', CHANNELS],
  /** When the counter was loaded, in nanoseconds of the clock; Infinity while it waits for its gate to rise. */
  start: ['f64', CHANNELS],
  /** Clocks that had passed when the gate stopped the counter; -1 while it runs. */
  stoppedAt: ['f64', CHANNELS],
  /** The low byte of a two-byte write, and whether the high byte comes next. */
  writeLow: ['u8', CHANNELS],
  writeHighNext: ['u8', CHANNELS],
  readHighNext: ['u8', CHANNELS],
  /** A latched count, and how many of its bytes are still to be read. */
  latch: ['u16', CHANNELS],
  latchBytes: ['u8', CHANNELS],
  status: ['u8', CHANNELS],
  statusLatched: ['u8', CHANNELS],
  /** Port 0x61 bit 1. */
  speaker: 'u8',
  /** The next rise of OUT0 in nanoseconds of the clock; Infinity for none. */
  nextRise: 'f64',
  initialized: 'u8',
});

export interface PitDeps {
  readonly clock: Clock;
  /** OUT of counter 0. */
  readonly interrupt: InterruptLine;
  /** Called when `deadline` may have come nearer. */
  readonly rearm?: () => void;
}

/**
 * An 8254 interval timer (Intel 8254 data sheet) with counter 2's gate and output on port 0x61. Counters do not count:
 * their values are computed from the clock. A new count takes effect at once, not at the end of the running period.
 */
export class Pit extends ByteDevice implements TimedDevice {
  readonly #state: InstanceType<typeof PitState>;
  readonly #deps: PitDeps;
  /** Port 0x61. */
  readonly systemControlB: BusDevice;

  constructor(state: InstanceType<typeof PitState>, deps: PitDeps) {
    super(state.lock);
    this.#state = state;
    this.#deps = deps;
    this.systemControlB = new SystemControlB(state, this, deps.clock);
    state.lock.acquire();
    if (state.initialized === 0) {
      state.gate.set([1, 1, 0]);
      state.access.fill(3);
      state.count.fill(0x1_0000);
      state.stoppedAt.fill(-1);
      state.nextRise = NEVER;
      state.initialized = 1;
    }
    state.lock.release();
  }

  deadline(): number {
    return this.#state.nextRise;
  }

  tick(): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      const now = this.#deps.clock.now();
      if (now < s.nextRise) return;
      // Rises that were missed are one interrupt: guests keep time by other clocks.
      this.#deps.interrupt.set(false);
      this.#deps.interrupt.set(true);
      s.nextRise = NEVER;
      if (!expiresAgain(s.mode[0]!)) return;
      const period = s.count[0]!;
      const passed = this.#elapsed(0);
      s.nextRise = Math.max(this.#timeOf(0, (Math.floor(passed / period) + 1) * period), now + SHORTEST_PERIOD_NS);
    } finally {
      s.lock.release();
    }
  }

  /** Level of a counter's OUT. Called with the lock held. */
  output(channel: number): boolean {
    const s = this.#state;
    const mode = s.mode[channel]!;
    if (s.loaded[channel] === 0 || s.start[channel] === NEVER) return mode !== 0;
    if (s.stoppedAt[channel]! >= 0 && expiresAgain(mode)) return true;
    return outputLevel(mode, this.#elapsed(channel), s.count[channel]!);
  }

  /** Called with the lock held. */
  setGate(channel: number, level: boolean): void {
    const s = this.#state;
    const before = s.gate[channel] !== 0;
    if (before === level) return;
    const mode = s.mode[channel]!;
    const triggers = mode === 1 || mode === 5;
    if (!level) {
      if (!triggers) s.stoppedAt[channel] = Math.max(this.#elapsed(channel), 0);
      s.gate[channel] = 0;
      return;
    }
    s.gate[channel] = 1;
    const resumed = triggers || expiresAgain(mode) ? 0 : Math.max(s.stoppedAt[channel]!, 0);
    s.start[channel] = this.#deps.clock.now() - (resumed * 1e9) / PIT_HZ;
    s.stoppedAt[channel] = -1;
  }

  protected readByte(offset: number): number {
    if (offset >= CHANNELS) return 0xff; // the control port cannot be read
    const s = this.#state;
    if (s.statusLatched[offset] !== 0) {
      s.statusLatched[offset] = 0;
      return s.status[offset]!;
    }
    const access = s.access[offset]!;
    if (s.latchBytes[offset]! > 0) {
      const high = access === ACCESS_HIGH || (access === 3 && s.latchBytes[offset] === 1);
      s.latchBytes[offset] = s.latchBytes[offset]! - 1;
      return high ? s.latch[offset]! >> 8 : s.latch[offset]! & 0xff;
    }
    const value = this.#value(offset);
    if (access === ACCESS_LOW) return value & 0xff;
    if (access === ACCESS_HIGH) return value >> 8;
    const high = s.readHighNext[offset] !== 0;
    s.readHighNext[offset] = high ? 0 : 1;
    return high ? value >> 8 : value & 0xff;
  }

  protected writeByte(offset: number, value: number): void {
    if (offset === CONTROL) this.#writeControl(value);
    else if (offset < CHANNELS) this.#writeCount(offset, value);
  }

  #writeControl(value: number): void {
    const channel = value >> 6;
    if (channel === READ_BACK) {
      for (let i = 0; i < CHANNELS; i++) {
        if ((value & (2 << i)) === 0) continue;
        if ((value & 0x20) === 0) this.#latchCount(i);
        if ((value & 0x10) === 0) this.#latchStatus(i);
      }
      return;
    }
    const access = (value >> 4) & 3;
    if (access === ACCESS_LATCH) this.#latchCount(channel);
    else this.#setMode(channel, access, (value >> 1) & 7, value & 1);
  }

  #setMode(channel: number, access: number, mode: number, bcd: number): void {
    const s = this.#state;
    s.access[channel] = access;
    s.mode[channel] = mode > 5 ? mode - 4 : mode; // modes 6 and 7 are 2 and 3
    s.bcd[channel] = bcd;
    s.loaded[channel] = 0;
    s.writeHighNext[channel] = 0;
    s.readHighNext[channel] = 0;
    s.latchBytes[channel] = 0;
    s.statusLatched[channel] = 0;
    s.stoppedAt[channel] = -1;
    if (channel !== 0) return;
    s.nextRise = NEVER;
    this.#deps.interrupt.set(mode !== 0);
  }

  #writeCount(channel: number, value: number): void {
    const s = this.#state;
    const access = s.access[channel]!;
    if (access === ACCESS_LOW) this.#load(channel, value);
    else if (access === ACCESS_HIGH) this.#load(channel, value << 8);
    else if (s.writeHighNext[channel] === 0) {
      s.writeLow[channel] = value;
      s.writeHighNext[channel] = 1;
      if (s.mode[channel] === 0) s.loaded[channel] = 0; // the first byte stops the count
    } else {
      s.writeHighNext[channel] = 0;
      this.#load(channel, s.writeLow[channel]! | (value << 8));
    }
  }

  #load(channel: number, value: number): void {
    const s = this.#state;
    const modulus = s.bcd[channel] !== 0 ? 10_000 : 0x1_0000;
    const count = (s.bcd[channel] !== 0 ? fromBcd(value) : value) || modulus;
    const mode = s.mode[channel]!;
    s.count[channel] = expiresAgain(mode) ? Math.max(count, 2) : count; // one is illegal in modes 2 and 3
    const triggers = mode === 1 || mode === 5;
    const first = s.loaded[channel] === 0;
    s.loaded[channel] = 1;
    if (triggers) {
      if (first) s.start[channel] = NEVER; // a running one-shot goes on with its old start
    } else {
      s.start[channel] = this.#deps.clock.now();
      s.stoppedAt[channel] = s.gate[channel] !== 0 ? -1 : 0;
    }
    if (channel === 0) this.#schedule();
  }

  /** Sets the next rise of OUT0 after a load. Its gate is always high, so modes 1 and 5 never start. */
  #schedule(): void {
    const s = this.#state;
    const mode = s.mode[0]!;
    const rise = firstRise(mode, s.count[0]!);
    s.nextRise = rise === NEVER ? NEVER : this.#timeOf(0, rise);
    if (mode === 0) this.#deps.interrupt.set(false);
    this.#deps.rearm?.();
  }

  /** Clocks since the counter was loaded or triggered. */
  #elapsed(channel: number): number {
    const s = this.#state;
    if (s.stoppedAt[channel]! >= 0) return s.stoppedAt[channel]!;
    if (s.loaded[channel] === 0 || s.start[channel] === NEVER) return 0;
    return Math.floor(((this.#deps.clock.now() - s.start[channel]!) * PIT_HZ) / 1e9);
  }

  /** The first nanosecond at which `clocks` have passed. */
  #timeOf(channel: number, clocks: number): number {
    return this.#state.start[channel]! + Math.ceil((clocks * 1e9) / PIT_HZ);
  }

  /** The 16 bits that a read gives. */
  #value(channel: number): number {
    const s = this.#state;
    const modulus = s.bcd[channel] !== 0 ? 10_000 : 0x1_0000;
    const value = counterValue(s.mode[channel]!, this.#elapsed(channel), s.count[channel]!, modulus);
    return s.bcd[channel] !== 0 ? toBcd(value) : value;
  }

  #latchCount(channel: number): void {
    const s = this.#state;
    if (s.latchBytes[channel] !== 0) return; // the first latch stays until it is read
    s.latch[channel] = this.#value(channel);
    s.latchBytes[channel] = s.access[channel] === 3 ? 2 : 1;
  }

  #latchStatus(channel: number): void {
    const s = this.#state;
    if (s.statusLatched[channel] !== 0) return;
    s.statusLatched[channel] = 1;
    s.status[channel] =
      (this.output(channel) ? 0x80 : 0) |
      (s.loaded[channel] !== 0 ? 0 : 0x40) |
      (s.access[channel]! << 4) |
      (s.mode[channel]! << 1) |
      s.bcd[channel]!;
  }
}

/** Port 0x61: counter 2's gate and the speaker; counter 2's output and the refresh toggle can be read. */
class SystemControlB extends ByteDevice {
  readonly #state: InstanceType<typeof PitState>;
  readonly #pit: Pit;
  readonly #clock: Clock;

  constructor(state: InstanceType<typeof PitState>, pit: Pit, clock: Clock) {
    super(state.lock);
    this.#state = state;
    this.#pit = pit;
    this.#clock = clock;
  }

  protected readByte(offset: number): number {
    if (offset !== 0) return 0xff;
    const s = this.#state;
    const refresh = Math.floor(this.#clock.now() / REFRESH_NS) % 2;
    return (
      s.gate[SPEAKER_CHANNEL]! | (s.speaker << 1) | (refresh << 4) | (this.#pit.output(SPEAKER_CHANNEL) ? 0x20 : 0)
    );
  }

  protected writeByte(offset: number, value: number): void {
    if (offset !== 0) return;
    this.#pit.setGate(SPEAKER_CHANNEL, (value & 1) !== 0);
    this.#state.speaker = (value >> 1) & 1;
  }
}

/** Digits above 9 count as they are: 0x1f is 25. */
function fromBcd(value: number): number {
  return (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);
}

function toBcd(value: number): number {
  const digit = (unit: number) => Math.floor(value / unit) % 10;
  return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
}
