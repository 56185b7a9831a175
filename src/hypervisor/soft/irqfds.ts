/**
 * Eventfds that raise interrupts. Which they are, their routes, and who wants to hear of ends of interrupt, is in shared
 * memory. Any thread adds and removes them; each is watched by the vCPU that its interrupts are for (irqfd-listener.ts), so
 * that nobody else has to run for an interrupt.
 */
import { IOAPIC_PINS } from '../../arch/x86_64/platform.ts';
import { WaitContext } from '../../base/epoll.ts';
import { EventFd } from '../../base/event-fd.ts';
import type { InterruptLine } from '../../devices/device.ts';
import { CrosvmError } from '../../errors.ts';
import type { SoftIrqchip } from '../../irqchip/soft-irqchip.ts';
import { sharedStruct } from '../../memory/shared-struct.ts';
import type { MsiRoute } from '../hypervisor.ts';

/** As many as KVM has. */
const GSIS = 4096;
const MAX_IRQFDS = 2048;
const NO_FD = -1;

/** Token of the eventfd by which the vCPU of a context is called. Irqfds have smaller ones. */
export const CALLED = 0xffff_ffff;

const IrqfdState = sharedStruct({
  /** MSIs by GSI; `address` is 0 where there is none. */
  address: ['f64', GSIS],
  data: ['u32', GSIS],
  /** The irqfds, in places that stay the same: epoll's tokens. Those from `places` on were never used. */
  places: 'u32',
  used: ['u8', MAX_IRQFDS],
  fd: ['i32', MAX_IRQFDS],
  gsi: ['u16', MAX_IRQFDS],
  /** The vCPU that watches it. */
  watcher: ['u8', MAX_IRQFDS],
  /** NO_FD where there is none. */
  resampleFd: ['i32', MAX_IRQFDS],
  /** How many have one. */
  resamplers: 'u32',
});

/** What threads share: survives structured clone. */
export interface IrqfdHandle {
  readonly state: SharedArrayBuffer;
  /** By vCPU: the epoll instance that it waits with. */
  readonly epollFds: readonly number[];
}

export class Irqfds {
  readonly #state: InstanceType<typeof IrqfdState>;
  /** By vCPU. */
  readonly contexts: readonly WaitContext[];
  readonly #irqchip: SoftIrqchip;
  readonly #lines: readonly InterruptLine[];
  /** This thread's objects for the descriptors. */
  readonly #eventFds = new Map<number, EventFd>();

  /** `calls`: by vCPU, the eventfd that wakes it. */
  static create(calls: readonly number[]): IrqfdHandle {
    const contexts = calls.map((fd) => {
      const context = new WaitContext();
      context.add(fd, CALLED);
      return context;
    });
    return { state: new SharedArrayBuffer(IrqfdState.byteLength), epollFds: contexts.map(({ fd }) => fd) };
  }

  /** `lines`: the wires of the pins, which belong to irqfds alone. */
  constructor({ state, epollFds }: IrqfdHandle, irqchip: SoftIrqchip, lines: readonly InterruptLine[]) {
    this.#state = new IrqfdState(state);
    this.contexts = epollFds.map((fd) => new WaitContext(64, fd));
    this.#irqchip = irqchip;
    this.#lines = lines;
  }

  /** Whether no eventfd was ever connected. */
  get isEmpty(): boolean {
    return this.#state.places === 0;
  }

  /** Throws RangeError for a GSI that there is not, `E_IRQFD` if the eventfd raises one already. */
  add(fd: number, gsi: number, route?: MsiRoute, resampleFd = NO_FD): void {
    if (!(Number.isInteger(gsi) && gsi >= 0 && gsi < GSIS)) throw new RangeError(`there is no GSI ${gsi}`);
    if (resampleFd !== NO_FD && gsi >= IOAPIC_PINS) {
      throw new RangeError(`GSI ${gsi} is not a pin: its interrupts have no level`);
    }
    if (route !== undefined) this.setRoute(gsi, route);
    const s = this.#state;
    s.lock.acquire();
    try {
      const place = this.#freePlace(fd);
      s.fd[place] = fd;
      s.gsi[place] = gsi;
      s.resampleFd[place] = resampleFd;
      this.#watch(place);
      s.used[place] = 1;
      s.places = Math.max(s.places, place + 1);
      if (resampleFd !== NO_FD) s.resamplers++;
    } finally {
      s.lock.release();
    }
  }

  remove(fd: number, gsi: number): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      for (let place = 0; place < s.places; place++) {
        if (s.used[place] === 0 || s.fd[place] !== fd || s.gsi[place] !== gsi) continue;
        this.#unwatch(place);
        s.used[place] = 0;
        if (s.resampleFd[place] !== NO_FD) s.resamplers--;
      }
    } finally {
      s.lock.release();
    }
  }

  /** Throws RangeError for pins of the IOAPIC, whose messages are its own business. */
  setRoute(gsi: number, route: MsiRoute | undefined): void {
    if (!(Number.isInteger(gsi) && gsi >= IOAPIC_PINS && gsi < GSIS)) {
      throw new RangeError(`GSI ${gsi} cannot send messages: ${IOAPIC_PINS} to ${GSIS - 1} can`);
    }
    const s = this.#state;
    s.lock.acquire();
    try {
      s.address[gsi] = route?.address ?? 0;
      s.data[gsi] = route?.data ?? 0;
      for (let place = 0; place < s.places; place++) {
        if (s.used[place] === 0 || s.gsi[place] !== gsi) continue;
        this.#unwatch(place);
        this.#watch(place);
      }
    } finally {
      s.lock.release();
    }
  }

  /** The guest ended the level-triggered interrupt of `pin`. Callable on every thread. */
  ended(pin: number): void {
    const s = this.#state;
    if (s.resamplers === 0) return;
    s.lock.acquire();
    try {
      for (let place = 0; place < s.places; place++) {
        if (s.used[place] === 0 || s.gsi[place] !== pin || s.resampleFd[place] === NO_FD) continue;
        // First the wire: whoever hears of the end may raise it again at once.
        this.#lines[pin]!.set(false);
        this.#eventFd(s.resampleFd[place]!).signal();
      }
    } finally {
      s.lock.release();
    }
  }

  /** When no thread uses irqfds any more. */
  close(): void {
    for (const context of this.contexts) context.close();
  }

  /**
   * The vCPU that an interrupt is for hears of it. It may be for several, or be sent to another one by and by: then the
   * one that hears of it tells the others.
   */
  #watch(place: number): void {
    const s = this.#state;
    const address = s.address[s.gsi[place]!]!;
    s.watcher[place] = address === 0 ? 0 : this.#irqchip.recipientOf(address);
    this.contexts[s.watcher[place]!]!.add(s.fd[place]!, place);
  }

  #unwatch(place: number): void {
    const s = this.#state;
    this.contexts[s.watcher[place]!]!.remove(s.fd[place]!);
  }

  /** Throws `E_IRQFD` if `fd` has a place already, or if there is none. */
  #freePlace(fd: number): number {
    const s = this.#state;
    let free = s.places;
    for (let place = s.places - 1; place >= 0; place--) {
      if (s.used[place] === 0) free = place;
      else if (s.fd[place] === fd) throw new CrosvmError('E_IRQFD', `the eventfd ${fd} raises an interrupt already`);
    }
    if (free === MAX_IRQFDS) throw new CrosvmError('E_IRQFD', `a VM can have at most ${MAX_IRQFDS} irqfds`);
    return free;
  }

  /**
   * The eventfd in `place`, the token of a context, was signalled: raises its interrupt. Under the lock throughout, so that
   * an irqfd that a thread has removed raises nothing from then on.
   */
  raise(place: number): void {
    const s = this.#state;
    s.lock.acquire();
    try {
      if (s.used[place] === 0 || this.#eventFd(s.fd[place]!).clear() === 0) return;
      const gsi = s.gsi[place]!;
      const address = s.address[gsi]!;
      const line = this.#lines[gsi];
      if (address !== 0) {
        this.#irqchip.signalMsi(address, s.data[gsi]!);
      } else if (line !== undefined) {
        line.set(true);
        if (s.resampleFd[place] === NO_FD) line.set(false);
      }
    } finally {
      s.lock.release();
    }
  }

  #eventFd(fd: number): EventFd {
    let eventFd = this.#eventFds.get(fd);
    if (eventFd === undefined) {
      eventFd = new EventFd(fd);
      this.#eventFds.set(fd, eventFd);
    }
    return eventFd;
  }
}
