/** A driver of a disk, without a guest. */
import { EventFd } from '../src/base/event-fd.ts';
import { waitReadable } from '../src/base/readable.ts';
import type { FrontEnd } from '../src/vhost-user/front-end/front-end.ts';
import { SharedGuest } from '../src/vhost-user/testing/test-front-end.ts';
import { SplitDriver } from '../src/virtio/testing/split-driver.ts';

/** What the disk must have. */
export const DISK_SIZE = 64 << 20;
const BLOCK = 4096;
const BLOCKS = DISK_SIZE / BLOCK;
const QUEUE_SIZE = 64;
const FEATURES = (1n << 32n) | (1n << 30n) | (1n << 29n) | (1n << 9n);
const MAX_DEPTH = 16;

const fenceWord = new Int32Array(new SharedArrayBuffer(4));

/** What was stored is seen by the device before what is loaded from here on. */
function fence(): void {
  Atomics.add(fenceWord, 0, 0);
}

/** Reads or writes random blocks of 4 KiB, with requests that are laid out once and made available again and again. */
export class BlockDriver {
  readonly #ring: SplitDriver;
  /** Type and sector. */
  readonly #headers: DataView[] = [];
  /** Guest addresses. */
  readonly #data: number[] = [];
  readonly #statuses: Uint8Array[] = [];
  readonly #kick = EventFd.create();
  readonly #call = EventFd.create();
  #used = 0;

  constructor(frontEnd: FrontEnd) {
    const guest = new SharedGuest();
    this.#ring = new SplitDriver(guest, QUEUE_SIZE, { eventIdx: true, indirect: false });
    for (let i = 0; i < MAX_DEPTH; i++) {
      const header = guest.allocate(16);
      const data = guest.allocate(BLOCK, BLOCK);
      const status = guest.allocate(1);
      this.#ring.setDescriptor(3 * i, header, 16, 1, 3 * i + 1);
      this.#ring.setDescriptor(3 * i + 2, status, 1, 2, 0);
      this.#headers.push(guest.view(header, 16));
      this.#data.push(data);
      this.#statuses.push(guest.bytes(status, 1));
    }
    const { descriptor, driver, device } = this.#ring.addresses;
    const index = 0;
    frontEnd.request('SET_FEATURES', FEATURES);
    frontEnd.request('SET_MEM_TABLE', [guest.sharedRegion], [guest.fd]);
    frontEnd.request('SET_VRING_NUM', { index, num: QUEUE_SIZE });
    frontEnd.request('SET_VRING_BASE', { index, num: 0 });
    frontEnd.request('SET_VRING_ADDR', { index, flags: 0, descriptor, available: driver, used: device, log: 0 });
    frontEnd.request('SET_VRING_CALL', { index, absent: false }, [this.#call.fd]);
    frontEnd.request('SET_VRING_KICK', { index, absent: false }, [this.#kick.fd]);
    frontEnd.request('SET_VRING_ENABLE', { index, num: 1 });
  }

  /** Keeps `depth` requests (up to 16) under way for so many seconds; how many were done. */
  run(depth: number, seconds: number, write: boolean): number {
    for (const [i, data] of this.#data.entries()) {
      this.#headers[i]!.setUint32(0, write ? 1 : 0, true);
      this.#ring.setDescriptor(3 * i + 1, data, BLOCK, write ? 1 : 3, 3 * i + 2);
    }
    for (let i = 0; i < depth; i++) this.#start(i);
    this.#kickIfNeeded();
    const end = performance.now() + seconds * 1000;
    let done = 0;
    for (let open = depth; open > 0; ) {
      this.#ring.wantInterruptAt(this.#used);
      fence();
      if (this.#ring.usedIndex === this.#used) {
        if (!waitReadable(this.#call.fd, 5000)) throw new Error('no answer');
        this.#call.clear();
      }
      const goOn = performance.now() < end;
      for (; this.#ring.usedIndex !== this.#used; this.#used = (this.#used + 1) & 0xffff) {
        const request = this.#ring.usedId(this.#used) / 3;
        if (this.#statuses[request]![0] !== 0) throw new Error('a request failed');
        done++;
        if (goOn) this.#start(request);
        else open--;
      }
      this.#kickIfNeeded();
    }
    return done;
  }

  #start(request: number): void {
    this.#statuses[request]![0] = 0xff;
    this.#headers[request]!.setUint32(8, Math.floor(Math.random() * BLOCKS) * 8, true);
    this.#ring.makeAvailable(3 * request);
  }

  #kickIfNeeded(): void {
    fence();
    if (this.#ring.needsKick()) this.#kick.signal();
  }
}
