import type { Clock } from '../devices/device.ts';
import { type LapicShared, LVT_TIMER, TIMER_CURRENT, TIMER_DIVIDE, TIMER_INITIAL } from './lapic-state.ts';

const MODE_PERIODIC = 1;
const MODE_TSC_DEADLINE = 2;

/** A guest that asks for a faster periodic timer gets its interrupts no more often than this. */
const SHORTEST_PERIOD_NS = 100_000;

const NEVER = Number.POSITIVE_INFINITY;

/**
 * The timer of a local APIC (Intel SDM vol. 3, 11.5.4) on a bus clock of 1 GHz. Nothing counts: the registers are
 * computed from the clock. The LAPIC calls all of this with its lock held.
 */
export class LapicTimer {
  readonly #state: LapicShared;
  readonly #clock: Clock;

  constructor(state: LapicShared, clock: Clock) {
    this.#state = state;
    this.#clock = clock;
  }

  stop(): void {
    this.#arm(NEVER);
  }

  /** A write of the initial count starts the timer, zero stops it. Without effect in TSC-deadline mode. */
  start(initial: number): void {
    if (this.#mode() === MODE_TSC_DEADLINE) return;
    this.#state.page[TIMER_INITIAL >> 2] = initial;
    this.#arm(initial === 0 ? NEVER : this.#clock.now() + initial * this.#divisor());
  }

  currentCount(): number {
    const { timerExpiry } = this.#state;
    if (timerExpiry === NEVER || this.#mode() === MODE_TSC_DEADLINE) return 0;
    const left = timerExpiry - this.#clock.now();
    if (left > 0) return Math.ceil(left / this.#divisor());
    if (this.#mode() !== MODE_PERIODIC) return 0;
    const period = this.#period();
    return Math.ceil((period - (-left % period)) / this.#divisor());
  }

  /** Changes the divisor; the count that is left goes on at the new speed. */
  setDivide(value: number): void {
    const left = this.currentCount();
    this.#state.page[TIMER_DIVIDE >> 2] = value & 0x0b;
    if (left !== 0) this.#arm(this.#clock.now() + left * this.#divisor());
  }

  /** Changes the LVT entry. Changing to or from TSC-deadline mode disarms (SDM vol. 3, 11.5.4.1). */
  setLvt(value: number): void {
    const before = this.#mode();
    this.#state.page[LVT_TIMER >> 2] = value;
    const after = this.#mode();
    if (before === after || (before < MODE_TSC_DEADLINE && after < MODE_TSC_DEADLINE)) return;
    this.#state.page[TIMER_INITIAL >> 2] = 0;
    this.stop();
  }

  /** Arms the TSC-deadline timer for `deadline` nanoseconds; Infinity disarms. Without effect in the other modes. */
  setTscDeadline(deadline: number): void {
    if (this.#mode() === MODE_TSC_DEADLINE) this.#arm(deadline);
  }

  tscDeadlineArmed(): boolean {
    return this.#mode() === MODE_TSC_DEADLINE && this.#state.timerExpiry !== NEVER;
  }

  /** Goes on from a loaded register page. */
  resume(): void {
    const { page } = this.#state;
    const periodic = this.#mode() === MODE_PERIODIC;
    const count = page[TIMER_CURRENT >> 2]! || (periodic ? page[TIMER_INITIAL >> 2]! : 0);
    if (this.#mode() === MODE_TSC_DEADLINE || count === 0) this.stop();
    else this.#arm(this.#clock.now() + count * this.#divisor());
  }

  /** Whether the timer has run out since it was last asked. Periodic timers start their next period. */
  takeExpired(): boolean {
    const s = this.#state;
    const now = this.#clock.now();
    if (now < s.timerExpiry) return false;
    if (this.#mode() !== MODE_PERIODIC) {
      this.stop();
      return true;
    }
    const period = this.#period();
    if (period === 0) {
      this.stop();
      return true;
    }
    s.timerExpiry += (Math.floor((now - s.timerExpiry) / period) + 1) * period;
    s.timerWake = Math.max(s.timerExpiry, now + SHORTEST_PERIOD_NS);
    return true;
  }

  #arm(expiry: number): void {
    this.#state.timerExpiry = expiry;
    this.#state.timerWake = expiry;
  }

  #mode(): number {
    return (this.#state.page[LVT_TIMER >> 2]! >> 17) & 3;
  }

  /** Nanoseconds for each count: 1, 2, 4 ... 128 (SDM vol. 3, figure 11-10). */
  #divisor(): number {
    const value = this.#state.page[TIMER_DIVIDE >> 2]!;
    return 1 << ((((value & 3) | ((value >> 1) & 4)) + 1) & 7);
  }

  #period(): number {
    return this.#state.page[TIMER_INITIAL >> 2]! * this.#divisor();
  }
}
