/**
 * Eventfds that raise interrupts. The event loop of the thread that adds one listens to it; the routes, and who wants to
 * hear of ends of interrupt, are in shared memory: any thread changes and uses them.
 */
import { IOAPIC_PINS } from '../../arch/x86_64/platform.ts';
import { EventFd } from '../../base/event-fd.ts';
import { onReadable, type Subscription } from '../../base/readable.ts';
import type { InterruptLine } from '../../devices/device.ts';
import { CrosvmError } from '../../errors.ts';
import { sharedStruct } from '../../memory/shared-struct.ts';
import type { InterruptController, MsiRoute } from '../hypervisor.ts';

/** As many as KVM has. */
const GSIS = 4096;
const MAX_RESAMPLERS = 256;

export const IrqfdState = sharedStruct({
  /** MSIs by GSI; `address` is 0 where there is none. */
  address: ['f64', GSIS],
  data: ['u32', GSIS],
  resamplers: 'u32',
  resampleGsi: ['u8', MAX_RESAMPLERS],
  resampleFd: ['i32', MAX_RESAMPLERS],
});

interface Added {
  readonly gsi: number;
  readonly resampleFd: number | undefined;
  readonly subscription: Subscription;
}

export class Irqfds {
  readonly #state: InstanceType<typeof IrqfdState>;
  readonly #interrupts: InterruptController;
  readonly #lines: readonly InterruptLine[];
  /** By eventfd. */
  readonly #added = new Map<number, Added>();

  /** `lines`: the wires of the pins, which belong to irqfds alone. */
  constructor(buffer: SharedArrayBuffer, interrupts: InterruptController, lines: readonly InterruptLine[]) {
    this.#state = new IrqfdState(buffer);
    this.#interrupts = interrupts;
    this.#lines = lines;
  }

  /** Throws RangeError for a GSI that there is not, `E_IRQFD` if the eventfd raises one already. */
  add(fd: number, gsi: number, route?: MsiRoute, resampleFd?: number): void {
    if (!(Number.isInteger(gsi) && gsi >= 0 && gsi < GSIS)) throw new RangeError(`there is no GSI ${gsi}`);
    if (this.#added.has(fd)) throw new CrosvmError('E_IRQFD', `the eventfd ${fd} raises an interrupt already`);
    if (route !== undefined) this.setRoute(gsi, route);
    if (resampleFd !== undefined) this.#addResampler(gsi, resampleFd);
    const eventFd = new EventFd(fd);
    const subscription = onReadable(fd, () => {
      eventFd.clear();
      this.#raise(gsi, resampleFd !== undefined);
    });
    this.#added.set(fd, { gsi, resampleFd, subscription });
  }

  remove(fd: number, gsi: number): void {
    const found = this.#added.get(fd);
    if (found?.gsi !== gsi) return;
    found.subscription.close();
    this.#added.delete(fd);
    if (found.resampleFd !== undefined) this.#removeResampler(gsi, found.resampleFd);
  }

  /** Throws RangeError for pins of the IOAPIC, whose messages are its own business. */
  setRoute(gsi: number, route: MsiRoute | undefined): void {
    if (!(Number.isInteger(gsi) && gsi >= IOAPIC_PINS && gsi < GSIS)) {
      throw new RangeError(`GSI ${gsi} cannot send messages: ${IOAPIC_PINS} to ${GSIS - 1} can`);
    }
    const s = this.#state;
    s.lock.acquire();
    s.address[gsi] = route?.address ?? 0;
    s.data[gsi] = route?.data ?? 0;
    s.lock.release();
  }

  /** The guest ended the level-triggered interrupt of `pin`. Callable on every thread. */
  ended(pin: number): void {
    const s = this.#state;
    if (s.resamplers === 0) return;
    s.lock.acquire();
    try {
      for (let i = 0; i < s.resamplers; i++) {
        if (s.resampleGsi[i] !== pin) continue;
        // First the wire: whoever hears of the end may raise it again at once.
        this.#lines[pin]!.set(false);
        new EventFd(s.resampleFd[i]!).signal();
      }
    } finally {
      s.lock.release();
    }
  }

  /** Ends all that this thread has added. */
  close(): void {
    for (const { subscription } of this.#added.values()) subscription.close();
    this.#added.clear();
  }

  #raise(gsi: number, untilEnded: boolean): void {
    const s = this.#state;
    s.lock.acquire();
    const address = s.address[gsi]!;
    const data = s.data[gsi]!;
    s.lock.release();
    const line = this.#lines[gsi];
    if (address !== 0) {
      this.#interrupts.signalMsi(address, data);
    } else if (line !== undefined) {
      line.set(true);
      if (!untilEnded) line.set(false);
    }
  }

  #addResampler(gsi: number, fd: number): void {
    if (gsi >= IOAPIC_PINS) throw new RangeError(`GSI ${gsi} is not a pin: its interrupts have no level`);
    const s = this.#state;
    s.lock.acquire();
    try {
      if (s.resamplers === MAX_RESAMPLERS) throw new CrosvmError('E_IRQFD', 'too many level-triggered irqfds');
      s.resampleGsi[s.resamplers] = gsi;
      s.resampleFd[s.resamplers] = fd;
      s.resamplers++;
    } finally {
      s.lock.release();
    }
  }

  #removeResampler(gsi: number, fd: number): void {
    const s = this.#state;
    s.lock.acquire();
    for (let i = 0; i < s.resamplers; i++) {
      if (s.resampleGsi[i] !== gsi || s.resampleFd[i] !== fd) continue;
      s.resamplers--;
      s.resampleGsi[i] = s.resampleGsi[s.resamplers]!;
      s.resampleFd[i] = s.resampleFd[s.resamplers]!;
      break;
    }
    s.lock.release();
  }
}
