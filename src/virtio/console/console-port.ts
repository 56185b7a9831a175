import { type Fields, fields, truth, wholeNumber } from '../../fields.ts';
import type { ScatterList } from '../../memory/scatter-list.ts';
import { type DeviceHost, EPOLLIN, EPOLLOUT } from '../device.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { receiveQueue } from './console-config.ts';

/** Requests done before others have their turn. */
const BATCH = 16;

/** Where a port's input comes from. */
export interface ConsoleInput {
  /** What to wait for until there is input; -1 when there always is, up to its end. */
  readonly fd: number;
  /** Reads into the first pieces of a list. Returns how many bytes; 0 at the end, -1 when nothing is there now. */
  read(list: ScatterList): number;
  close(): void;
}

/** Where a port's output goes. */
export interface ConsoleOutput {
  /** What to wait for until there is room; -1 when there always is. */
  readonly fd: number;
  /** Takes bytes of a list from `from` on. Returns how many; -1 when there is no room now. */
  write(list: ScatterList, from: number): number;
  close(): void;
}

export interface PortOptions {
  /** By what the guest finds it, in /sys/class/virtio-ports. */
  readonly name: string;
  /** A terminal of the guest (hvc), not just a channel. */
  readonly isConsole: boolean;
  readonly input: ConsoleInput | undefined;
  /** Without one, output goes nowhere. */
  readonly output: ConsoleOutput | undefined;
}

/** What a port knows besides its queues. */
export interface ConsolePortState {
  /** The guest listens. */
  readonly open: boolean;
  /** Bytes of the next request that have been written already. */
  readonly written: number;
}

/** Throws a `TypeError`. */
export function parsePortState(value: unknown): ConsolePortState {
  const state = fields(value, 'a port');
  return {
    open: truth(state['open'], 'whether a port is open'),
    written: wholeNumber(state['written'], 'how much a port has written'),
  };
}

/** One port: moves bytes between two queues and the host, as fast as the slower side. */
export class ConsolePort {
  readonly options: PortOptions;
  readonly #index: number;
  readonly #host: DeviceHost;
  readonly #chain = new DescriptorChain();
  #input: ConsoleInput | undefined;
  #output: ConsoleOutput | undefined;
  /** The guest listens. */
  #open: boolean;
  #awaitsInput = false;
  #awaitsRoom = false;
  /** Bytes of the next request that have been written already. */
  #written = 0;

  constructor(index: number, options: PortOptions, host: DeviceHost) {
    this.#index = index;
    this.options = options;
    this.#host = host;
    this.#input = options.input;
    this.#output = options.output;
    this.#open = options.isConsole;
  }

  /** The guest opens or closes its side. */
  setOpen(open: boolean): void {
    this.#open = open || this.options.isConsole;
    this.#host.serveSoon(receiveQueue(this.#index));
  }

  /** Takes input, as far as the queue has room; true when there may be more of both. */
  receive(queue: Virtqueue): boolean {
    const input = this.#input;
    if (input === undefined) return false;
    if (!this.#open) {
      this.#waitForInput(false);
      return false;
    }
    const more = this.#fill(queue, input);
    this.#host.interrupt(receiveQueue(this.#index));
    return more;
  }

  /** Sends output on; true when there is more and room for it. */
  transmit(queue: Virtqueue): boolean {
    const more = this.#drain(queue);
    this.#host.interrupt(receiveQueue(this.#index) + 1);
    return more;
  }

  /** One of the queues ends, or ends for now: nobody has time for its side of the host. */
  pause(isReceive: boolean): void {
    if (isReceive) this.#waitForInput(false);
    else this.#waitForRoom(false);
  }

  /** One character in an emergency: whoever has no room loses it. */
  emergencyWrite(list: ScatterList): void {
    if (this.#output !== undefined) this.#write(this.#output, list, 0);
  }

  saveState(): Fields {
    return { open: this.#open, written: this.#written };
  }

  loadState({ open, written }: ConsolePortState): void {
    this.#open = open || this.options.isConsole;
    this.#written = written;
  }

  reset(): void {
    this.#open = this.options.isConsole;
    this.#written = 0;
    this.#waitForInput(false);
    this.#waitForRoom(false);
  }

  close(): void {
    this.#endInput();
    this.#endOutput();
  }

  #fill(queue: Virtqueue, input: ConsoleInput): boolean {
    const chain = this.#chain;
    for (let left = BATCH; left > 0; left--) {
      if (!queue.pop(chain)) {
        // The driver will say when there is room.
        this.#waitForInput(false);
        return queue.enableNotification();
      }
      if (chain.writable.length === 0) {
        queue.push(chain, 0);
        continue;
      }
      const n = readOrEnd(input, chain.writable);
      if (n > 0) {
        queue.push(chain, n);
        continue;
      }
      queue.unpop(chain);
      if (n === 0) this.#endInput();
      else this.#waitForInput(true);
      return false;
    }
    return true;
  }

  #drain(queue: Virtqueue): boolean {
    const chain = this.#chain;
    for (let left = BATCH; left > 0; left--) {
      if (!queue.pop(chain)) return queue.enableNotification();
      while (this.#output !== undefined && this.#written < chain.readable.length) {
        const n = this.#write(this.#output, chain.readable, this.#written);
        if (n === -1) {
          queue.unpop(chain);
          this.#waitForRoom(true);
          return false;
        }
        this.#written += n;
      }
      this.#written = 0;
      queue.push(chain, 0);
    }
    return true;
  }

  /** An output that fails is not there any more. */
  #write(output: ConsoleOutput, list: ScatterList, from: number): number {
    try {
      return output.write(list, from);
    } catch {
      this.#endOutput();
      return 0;
    }
  }

  /** A descriptor that nobody has time for is not watched: its other end may have hung up, which would wake us for ever. */
  #waitForInput(on: boolean): void {
    const fd = this.#input?.fd ?? -1;
    if (fd === -1 || on === this.#awaitsInput) return;
    this.#awaitsInput = on;
    if (on) this.#host.watch(fd, EPOLLIN, this.#onInput);
    else this.#host.unwatch(fd);
  }

  #waitForRoom(on: boolean): void {
    const fd = this.#output?.fd ?? -1;
    if (fd === -1 || on === this.#awaitsRoom) return;
    this.#awaitsRoom = on;
    if (on) this.#host.watch(fd, EPOLLOUT, this.#onRoom);
    else this.#host.unwatch(fd);
  }

  readonly #onInput = (): void => this.#host.serveSoon(receiveQueue(this.#index));

  readonly #onRoom = (): void => {
    this.#waitForRoom(false);
    this.#host.serveSoon(receiveQueue(this.#index) + 1);
  };

  #endInput(): void {
    this.#waitForInput(false);
    this.#input?.close();
    this.#input = undefined;
  }

  #endOutput(): void {
    this.#waitForRoom(false);
    this.#output?.close();
    this.#output = undefined;
  }
}

/** An error, such as that of a terminal that is gone, is an end. */
function readOrEnd(input: ConsoleInput, list: ScatterList): number {
  try {
    return input.read(list);
  } catch {
    return 0;
  }
}
