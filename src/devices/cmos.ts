import { CMOS_CENTURY, CMOS_DAY_ALARM, CMOS_MONTH_ALARM } from '../arch/x86_64/platform.ts';
import { sharedStruct } from '../memory/shared-struct.ts';
import { ByteDevice } from './byte-device.ts';
import type { Clock, InterruptLine, TimedDevice } from './device.ts';
import {
  calendarFrom,
  dayOfWeek,
  fromRegister,
  hoursFromRegister,
  hoursToRegister,
  toRegister,
} from './rtc-calendar.ts';

const SIZE = 128;

const SECONDS = 0x00;
const SECONDS_ALARM = 0x01;
const MINUTES = 0x02;
const MINUTES_ALARM = 0x03;
const HOURS = 0x04;
const HOURS_ALARM = 0x05;
const DAY_OF_WEEK = 0x06;
const DAY = 0x07;
const MONTH = 0x08;
const YEAR = 0x09;
const STATUS_A = 0x0a;
const STATUS_B = 0x0b;
const STATUS_C = 0x0c;
const STATUS_D = 0x0d;

const A_UPDATE_IN_PROGRESS = 0x80;
const A_DEFAULT = 0x26; // 32,768 Hz time base, 1,024 Hz periodic rate
const B_SET = 0x80;
const B_PERIODIC = 0x40;
const B_ALARM = 0x20;
const B_UPDATE = 0x10;
const C_INTERRUPT = 0x80;
const B_24_HOUR = 0x02;
const D_VALID = 0x80;

const MS_PER_SECOND = 1000;
const NS_PER_MS = 1e6;
const MS_PER_DAY = 86_400_000;
/** UIP is set this long before each update (MC146818A data sheet, table 5). */
const UIP_MS = 0.244;
/** Periodic interrupts come no more often than 1,024 Hz. */
const SHORTEST_PERIOD_NS = 976_562.5;
const NEVER = Number.POSITIVE_INFINITY;

export const CmosState = sharedStruct({
  index: 'u8',
  ram: ['u8', SIZE],
  /** Guest's time minus the host's, in milliseconds. */
  offset: 'f64',
  /** The guest's time when it set SET, in milliseconds since 1970; the clock stands still at it. */
  frozen: 'f64',
  /** When the periodic interrupt is due, in nanoseconds of the clock. */
  nextPeriodic: 'f64',
  /** When the next second begins, if an alarm or update interrupt waits for it. */
  nextSecond: 'f64',
  /** The last second (of the guest's time) that the alarm has been compared with. */
  checkedSecond: 'f64',
  initialized: 'u8',
});

export interface CmosDeps {
  readonly clock: Clock;
  readonly interrupt: InterruptLine;
  /** Bytes of RAM below and above 4 GiB, for firmware that asks. */
  readonly memoryBelow4G: number;
  readonly memoryAbove4G: number;
  /** Called when `deadline` may have come nearer. */
  readonly rearm?: () => void;
}

/**
 * A real-time clock with 128 bytes of CMOS RAM (Motorola MC146818A): index at port 0x70, data at 0x71. Time is UTC and
 * runs with the host's clock. The time registers are computed when they are read; writing them moves the guest's time.
 */
export class Cmos extends ByteDevice implements TimedDevice {
  readonly #state: InstanceType<typeof CmosState>;
  readonly #deps: CmosDeps;

  constructor(state: InstanceType<typeof CmosState>, deps: CmosDeps) {
    super(state.lock);
    this.#state = state;
    this.#deps = deps;
    state.lock.acquire();
    if (state.initialized === 0) this.#initialize();
    state.lock.release();
  }

  deadline(): number {
    return Math.min(this.#state.nextPeriodic, this.#state.nextSecond);
  }

  tick(): void {
    this.lock.acquire();
    try {
      this.#catchUp();
      this.#schedule();
    } finally {
      this.lock.release();
    }
  }

  protected readByte(offset: number): number {
    const s = this.#state;
    if (offset !== 1) return 0xff; // the index cannot be read
    const index = s.index;
    switch (index) {
      case SECONDS:
      case MINUTES:
      case HOURS:
      case DAY_OF_WEEK:
      case DAY:
      case MONTH:
      case YEAR:
      case CMOS_CENTURY:
        return this.#timeRegister(index);
      case STATUS_A:
        return s.ram[STATUS_A]! | (this.#updateInProgress() ? A_UPDATE_IN_PROGRESS : 0);
      case STATUS_C:
        return this.#takeFlags();
      case STATUS_D:
        return D_VALID | s.ram[STATUS_D]!;
      default:
        return s.ram[index]!;
    }
  }

  protected writeByte(offset: number, value: number): void {
    const s = this.#state;
    if (offset === 0) s.index = value & (SIZE - 1); // bit 7 masks NMIs on a PC
    if (offset !== 1) return;
    const index = s.index;
    switch (index) {
      case SECONDS:
      case MINUTES:
      case HOURS:
      case DAY_OF_WEEK:
      case DAY:
      case MONTH:
      case YEAR:
      case CMOS_CENTURY:
        this.#setTimeRegister(index, value);
        break;
      case STATUS_A:
        this.#catchUp();
        s.ram[STATUS_A] = value & ~A_UPDATE_IN_PROGRESS;
        s.nextPeriodic = NEVER;
        this.#schedule();
        break;
      case STATUS_B:
        this.#writeStatusB(value);
        break;
      case STATUS_C:
        break;
      case STATUS_D:
        s.ram[STATUS_D] = value & 0x3f; // the alarm's day of the month
        this.#schedule();
        break;
      default:
        this.#catchUp();
        s.ram[index] = value;
        this.#schedule();
    }
  }

  #initialize(): void {
    const s = this.#state;
    const { memoryBelow4G, memoryAbove4G } = this.#deps;
    s.ram[STATUS_A] = A_DEFAULT;
    s.ram[STATUS_B] = B_24_HOUR;
    // Memory from 16 MiB to 4 GiB and above 4 GiB in units of 64 KiB: where SeaBIOS and OVMF look.
    const above16M = Math.min(Math.max(Math.floor((memoryBelow4G - 0x100_0000) / 0x1_0000), 0), 0xffff);
    s.ram[0x34] = above16M;
    s.ram[0x35] = above16M >> 8;
    const above4G = Math.floor(memoryAbove4G / 0x1_0000);
    s.ram[0x5b] = above4G;
    s.ram[0x5c] = above4G >> 8;
    s.ram[0x5d] = above4G >> 16;
    s.nextPeriodic = NEVER;
    s.nextSecond = NEVER;
    s.initialized = 1;
  }

  /** The guest's time in milliseconds since 1970. */
  #now(): number {
    const s = this.#state;
    return s.ram[STATUS_B]! & B_SET ? s.frozen : this.#deps.clock.wallTime() + s.offset;
  }

  #updateInProgress(): boolean {
    if (this.#state.ram[STATUS_B]! & B_SET) return false;
    const now = this.#now();
    return MS_PER_SECOND - (now - Math.floor(now / MS_PER_SECOND) * MS_PER_SECOND) <= UIP_MS;
  }

  #timeRegister(index: number): number {
    const now = this.#now();
    const date = new Date(now);
    const b = this.#state.ram[STATUS_B]!;
    switch (index) {
      case SECONDS:
        return toRegister(date.getUTCSeconds(), b);
      case MINUTES:
        return toRegister(date.getUTCMinutes(), b);
      case HOURS:
        return hoursToRegister(date.getUTCHours(), b);
      case DAY_OF_WEEK:
        return toRegister(dayOfWeek(date), b);
      case DAY:
        return toRegister(date.getUTCDate(), b);
      case MONTH:
        return toRegister(date.getUTCMonth() + 1, b);
      case YEAR:
        return toRegister(date.getUTCFullYear() % 100, b);
      default:
        return toRegister(Math.floor(date.getUTCFullYear() / 100), b);
    }
  }

  /** Moves the guest's time so that the register reads `value`. A value out of range carries over, as Date does. */
  #setTimeRegister(index: number, value: number): void {
    const s = this.#state;
    const b = s.ram[STATUS_B]!;
    const now = this.#now();
    const parts = calendarFrom(new Date(now));
    const number = fromRegister(value, b);
    if (index === SECONDS) parts.seconds = number;
    else if (index === MINUTES) parts.minutes = number;
    else if (index === HOURS) parts.hours = hoursFromRegister(value, b);
    else if (index === DAY) parts.day = number;
    else if (index === MONTH) parts.month = number;
    else if (index === YEAR) parts.year = parts.year - (parts.year % 100) + (number % 100);
    else if (index === CMOS_CENTURY) parts.year = number * 100 + (parts.year % 100);
    else return; // the day of the week follows from the date
    const { year, month, day, hours, minutes, seconds } = parts;
    const moved = new Date(0);
    moved.setUTCFullYear(year % 10_000, month - 1, day); // or carries could add up beyond what Date holds
    moved.setUTCHours(hours, minutes, seconds, parts.milliseconds);
    s.offset += moved.getTime() - now;
    s.frozen = moved.getTime();
    s.checkedSecond = Math.floor(moved.getTime() / MS_PER_SECOND);
    this.#schedule();
  }

  #writeStatusB(value: number): void {
    const s = this.#state;
    this.#catchUp();
    const before = s.ram[STATUS_B]!;
    const now = this.#now();
    if (value & ~before & B_SET) s.frozen = now;
    if (before & ~value & B_SET) s.offset = s.frozen - this.#deps.clock.wallTime();
    s.ram[STATUS_B] = value & B_SET ? value & ~B_UPDATE : value;
    if ((before ^ value) & (B_SET | B_ALARM | B_UPDATE)) s.checkedSecond = Math.floor(this.#now() / MS_PER_SECOND);
    this.#updateLine();
    this.#schedule();
  }

  #takeFlags(): number {
    const s = this.#state;
    this.#catchUp();
    const flags = s.ram[STATUS_C]!;
    s.ram[STATUS_C] = 0;
    this.#updateLine();
    this.#schedule();
    return flags;
  }

  /** Nanoseconds between periodic interrupts, 0 for off (MC146818A data sheet, table 3). */
  #period(): number {
    const rate = this.#state.ram[STATUS_A]! & 0x0f;
    if (rate === 0) return 0;
    const shift = rate <= 2 ? rate + 6 : rate - 1; // rates 1 and 2 are 256 and 128 Hz
    return Math.max((1e9 * 2 ** shift) / 32_768, SHORTEST_PERIOD_NS);
  }

  /** Sets the flags of everything that has happened and drives the wire. */
  #catchUp(): void {
    const s = this.#state;
    const now = this.#deps.clock.now();
    if (now >= s.nextPeriodic) {
      s.ram[STATUS_C] = s.ram[STATUS_C]! | B_PERIODIC;
      s.nextPeriodic = NEVER; // #schedule sets the next
    }
    if (now >= s.nextSecond) {
      const second = Math.floor(this.#now() / MS_PER_SECOND);
      if (second > s.checkedSecond) {
        s.ram[STATUS_C] = s.ram[STATUS_C]! | B_UPDATE | (this.#alarmBetween(s.checkedSecond, second) ? B_ALARM : 0);
        s.checkedSecond = second;
      }
      s.nextSecond = NEVER;
    }
    this.#updateLine();
  }

  #updateLine(): void {
    const s = this.#state;
    const flags = s.ram[STATUS_C]! & (B_PERIODIC | B_ALARM | B_UPDATE);
    const asserted = (flags & s.ram[STATUS_B]!) !== 0;
    s.ram[STATUS_C] = flags | (asserted ? C_INTERRUPT : 0);
    this.#deps.interrupt.set(asserted);
  }

  #schedule(): void {
    const s = this.#state;
    const b = s.ram[STATUS_B]!;
    const now = this.#deps.clock.now();
    const before = this.deadline();
    const period = this.#period();
    if ((b & B_PERIODIC) === 0 || period === 0) s.nextPeriodic = NEVER;
    else if (s.nextPeriodic === NEVER) s.nextPeriodic = (Math.floor(now / period) + 1) * period;
    if ((b & (B_ALARM | B_UPDATE)) === 0 || (b & B_SET) !== 0) s.nextSecond = NEVER;
    else {
      const guest = this.#now();
      const left = (Math.floor(guest / MS_PER_SECOND) + 1) * MS_PER_SECOND - guest;
      s.nextSecond = now + Math.ceil(left * NS_PER_MS);
    }
    if (this.deadline() < before) this.#deps.rearm?.();
  }

  /** Whether the alarm matches one of the seconds in (from, to]; looks at no more than a day. */
  #alarmBetween(from: number, to: number): boolean {
    const first = Math.max(from + 1, to - MS_PER_DAY / MS_PER_SECOND);
    for (let second = first; second <= to; second++) if (this.#alarmMatches(second)) return true;
    return false;
  }

  #alarmMatches(second: number): boolean {
    const { ram } = this.#state;
    const b = ram[STATUS_B]!;
    const date = new Date(second * MS_PER_SECOND);
    const dayAlarm = ram[CMOS_DAY_ALARM]!;
    const monthAlarm = ram[CMOS_MONTH_ALARM]!;
    return (
      matches(ram[SECONDS_ALARM]!, toRegister(date.getUTCSeconds(), b)) &&
      matches(ram[MINUTES_ALARM]!, toRegister(date.getUTCMinutes(), b)) &&
      matches(ram[HOURS_ALARM]!, hoursToRegister(date.getUTCHours(), b)) &&
      (dayAlarm === 0 || matches(dayAlarm, toRegister(date.getUTCDate(), b))) &&
      (monthAlarm === 0 || matches(monthAlarm, toRegister(date.getUTCMonth() + 1, b)))
    );
  }
}

/** 0xc0-0xff in an alarm register means every. */
function matches(alarm: number, register: number): boolean {
  return alarm >= 0xc0 || alarm === register;
}
