/**
 * Stores that signal an eventfd instead of reaching the bus. The table is in shared memory: any thread changes it, and
 * every vCPU thread looks at it with one load as long as it is empty.
 */
import { EventFd } from '../../base/event-fd.ts';
import { CrosvmError } from '../../errors.ts';
import { sharedStruct } from '../../memory/shared-struct.ts';
import type { IoEvent } from '../hypervisor.ts';

const MAX_EVENTS = 512;
const ANY_VALUE = -1;

export const IoEventState = sharedStruct({
  count: 'u32',
  address: ['f64', MAX_EVENTS],
  /** Value that matches, or ANY_VALUE. */
  match: ['f64', MAX_EVENTS],
  fd: ['i32', MAX_EVENTS],
  length: ['u8', MAX_EVENTS],
  isPort: ['u8', MAX_EVENTS],
});

export class IoEvents {
  readonly #state: InstanceType<typeof IoEventState>;
  readonly #eventFds = new Map<number, EventFd>();

  constructor(buffer: SharedArrayBuffer) {
    this.#state = new IoEventState(buffer);
  }

  /** Throws RangeError for a match without a length, `E_IOEVENTS` if there are too many. */
  add(event: IoEvent): void {
    if (event.match !== undefined && event.length === 0) throw new RangeError('a match needs a length to compare');
    const s = this.#state;
    s.lock.acquire();
    try {
      const i = s.count;
      if (i === MAX_EVENTS) throw new CrosvmError('E_IOEVENTS', `a VM can have at most ${MAX_EVENTS} I/O events`);
      s.address[i] = event.address;
      s.match[i] = matchOf(event);
      s.fd[i] = event.fd;
      s.length[i] = event.length;
      s.isPort[i] = event.space === 'port' ? 1 : 0;
      s.count = i + 1;
    } finally {
      s.lock.release();
    }
  }

  remove(event: IoEvent): void {
    const s = this.#state;
    s.lock.acquire();
    for (let i = 0; i < s.count; i++) {
      if (!isSame(s, i, event)) continue;
      const last = s.count - 1;
      for (const field of [s.address, s.match, s.fd, s.length, s.isPort]) field[i] = field[last]!;
      s.count = last;
      break;
    }
    s.lock.release();
  }

  /** Whether the store was one that somebody waits for; it has been signalled then. */
  signal(isPort: boolean, address: number, data: Uint8Array): boolean {
    const s = this.#state;
    if (s.count === 0) return false;
    let value = 0; // inexact above 2^53, where nothing matches anyway
    for (let i = data.length - 1; i >= 0; i--) value = value * 256 + data[i]!;
    s.lock.acquire();
    try {
      for (let i = 0; i < s.count; i++) {
        if (s.address[i] !== address || (s.isPort[i] === 1) !== isPort) continue;
        if (s.length[i] !== 0 && s.length[i] !== data.length) continue;
        if (s.match[i] !== ANY_VALUE && s.match[i] !== value) continue;
        this.#eventFd(s.fd[i]!).signal();
        return true;
      }
      return false;
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

function isSame(s: InstanceType<typeof IoEventState>, i: number, event: IoEvent): boolean {
  const isPort = event.space === 'port' ? 1 : 0;
  if (s.fd[i] !== event.fd || s.address[i] !== event.address || s.isPort[i] !== isPort) return false;
  return s.length[i] === event.length && s.match[i] === matchOf(event);
}

function matchOf({ match }: IoEvent): number {
  return match === undefined ? ANY_VALUE : match >>> 0;
}
