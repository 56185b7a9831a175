/** How a vCPU hears of the irqfds that are for it, and sleeps until there is something to do. On its own thread. */
import type { WaitContext } from '../../base/epoll.ts';
import { PollWindow } from '../../base/poll-window.ts';
import { CALLED, type Irqfds } from './irqfds.ts';
import type { VcpuSignals } from './vcpu-signals.ts';
import type { Sleeper } from './vcpu-time.ts';

/**
 * For so many looks after the last doorbell or interrupt more interrupts are expected. Meanwhile the vCPU looks for them
 * more often: nobody tells a vCPU that runs, so that devices answer many requests with one interrupt.
 */
const EXPECTANT_LOOKS = 30;

export class IrqfdListener implements Sleeper {
  readonly #irqfds: Irqfds;
  readonly #signals: VcpuSignals;
  readonly #context: WaitContext;
  readonly #window = new PollWindow();
  #expectant = 0;

  /** `signals` are those of vCPU `id`. */
  constructor(irqfds: Irqfds, signals: VcpuSignals, id: number) {
    this.#irqfds = irqfds;
    this.#signals = signals;
    this.#context = irqfds.contexts[id]!;
  }

  /** A device was told to do something. */
  expect(): void {
    this.#expectant = EXPECTANT_LOOKS;
  }

  get isExpectant(): boolean {
    return this.#expectant > 0;
  }

  /** Raises the interrupts of all irqfds that were signalled. */
  look(): void {
    if (this.#irqfds.isEmpty) return;
    if (this.#expectant > 0) this.#expectant--;
    this.#raise(this.#context.wait(0));
  }

  sleep(milliseconds: number): void {
    if (milliseconds <= 0) return;
    this.#window.begin();
    this.#raise(this.#stayAwake(milliseconds) ?? this.#fallAsleep(milliseconds));
    this.#window.end();
  }

  /** Looks for what comes soon: how many descriptors are ready when the wait is over; undefined: it takes longer. */
  #stayAwake(milliseconds: number): number | undefined {
    const end = performance.now() + milliseconds;
    while (this.#window.isOpen) {
      const ready = this.#context.wait(0);
      if (ready > 0 || this.#signals.isCalled || performance.now() >= end) return ready;
    }
    return undefined;
  }

  #fallAsleep(milliseconds: number): number {
    if (!this.#signals.mayFallAsleep()) return 0;
    const ready = this.#context.wait(milliseconds === Number.POSITIVE_INFINITY ? -1 : milliseconds);
    this.#signals.isAwake();
    return ready;
  }

  #raise(ready: number): void {
    for (let i = 0; i < ready; i++) {
      const token = this.#context.token(i);
      if (token === CALLED) {
        this.#signals.call.clear();
      } else {
        this.#irqfds.raise(token);
        this.expect();
      }
    }
  }
}
