import { ScatterList } from '../../memory/scatter-list.ts';
import type { ByteStore } from '../byte-store.ts';
import type { TransferEngine } from '../transfer-engine.ts';

/** Carried out; begun, with an error; or not even begun. */
export type Outcome = 'done' | 'failed' | 'refused';

interface Held {
  readonly kind: 'read' | 'write' | 'flush';
  readonly store: ByteStore;
  readonly offset: number;
  readonly list: ScatterList;
  readonly token: number;
}

/** An engine that ends what it was given when the test says so, in the order that the test says, or when it is waited for. */
export class HeldEngine implements TransferEngine {
  readonly capacity: number;
  readonly eventFd: TransferEngine['eventFd'];
  complete = true;
  attempted = true;
  /** What it was given and has not ended. */
  readonly held: Held[] = [];
  isClosed = false;
  readonly #ended: [token: number, outcome: Outcome][] = [];

  /** `eventFd` is for loops that wait for real descriptors; nobody signals it. */
  constructor(capacity: number, eventFd = { fd: 1000, clear: () => 1 }) {
    this.capacity = capacity;
    this.eventFd = eventFd;
  }

  start(write: boolean, store: ByteStore, offset: number, list: ScatterList, token: number): boolean {
    const copy = new ScatterList();
    copy.addRange(list, 0, list.length);
    this.held.push({ kind: write ? 'write' : 'read', store, offset, list: copy, token });
    return true;
  }

  startFlush(store: ByteStore, token: number): boolean {
    this.held.push({ kind: 'flush', store, offset: 0, list: new ScatterList(), token });
    return true;
  }

  submit(): void {}

  wait(): void {
    this.end(this.held.length - 1);
  }

  ended(): number {
    const [token, outcome] = this.#ended.shift() ?? [-1, 'done'];
    this.complete = outcome === 'done';
    this.attempted = outcome !== 'refused';
    return token;
  }

  close(): void {
    this.isClosed = true;
  }

  /** Ends the request at this place of `held`, which is carried out now, or not. */
  end(place: number, outcome: Outcome = 'done'): void {
    const [{ kind, store, offset, list, token }] = this.held.splice(place, 1) as [Held];
    if (outcome === 'done') {
      if (kind === 'write') store.writeList(offset, list);
      else if (kind === 'read') store.readList(offset, list);
      else store.flush();
    }
    this.#ended.push([token, outcome]);
  }
}
