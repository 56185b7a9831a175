import { CrosvmError } from '../errors.ts';
import { ScatterList } from '../memory/scatter-list.ts';
import { type Disk, Place } from './disk.ts';
import type { TransferEngine } from './transfer-engine.ts';

/** What the queue needs of a disk. */
export type QueuedDisk = Omit<Disk, 'format' | 'locate'>;

/** Instead of a slot: the request has been carried out. */
export const DONE = -1;

/** Hears that the request in a slot has ended, and why it has failed if it has. */
export type RequestEnded = (slot: number, error: CrosvmError | undefined) => void;

/** A request that the engine has. */
class Request {
  kind: 'read' | 'write' | 'flush' = 'read';
  offset = 0;
  readonly list = new ScatterList();
}

/**
 * Several requests to a disk at a time. What lies in one piece of a file goes to an engine; everything else is done at
 * once, after the engine has ended what it has if it could be in the way: clusters that an engine writes to must not be
 * given to other data meanwhile. Without an engine all is done at once.
 */
export class DiskQueue {
  readonly #disk: QueuedDisk;
  readonly #engine: TransferEngine | undefined;
  readonly #onEnd: RequestEnded;
  readonly #place = new Place();
  readonly #requests: readonly Request[];
  /** Slots that are free: the first `#freeCount`. */
  readonly #free: Int32Array;
  #freeCount: number;

  /** Disk and engine are the queue's to close. `onEnd` is called by `collect`, and by whatever waits for the engine. */
  constructor(disk: QueuedDisk, engine: TransferEngine | undefined, onEnd: RequestEnded) {
    this.#disk = disk;
    this.#engine = engine;
    this.#onEnd = onEnd;
    const slots = engine?.capacity ?? 0;
    this.#requests = Array.from({ length: slots }, () => new Request());
    this.#free = Int32Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#freeCount = slots;
  }

  get size(): number {
    return this.#disk.size;
  }

  get writable(): boolean {
    return this.#disk.writable;
  }

  /** How many more requests the engine takes; no limit without one. */
  get room(): number {
    return this.#engine === undefined ? Number.POSITIVE_INFINITY : this.#freeCount;
  }

  /** Requests that the engine has. */
  get pending(): number {
    return this.#requests.length - this.#freeCount;
  }

  /** Reads; the slot of the request, or `DONE`. Throws as `Disk.read` does. */
  read(offset: number, list: ScatterList): number {
    const slot = this.#start(false, offset, list);
    if (slot === DONE) this.#disk.read(offset, list);
    return slot;
  }

  /** Writes; likewise. */
  write(offset: number, list: ScatterList): number {
    const slot = this.#start(true, offset, list);
    if (slot === DONE) this.writeNow(offset, list);
    return slot;
  }

  /** Writes at once, after what the engine has. */
  writeNow(offset: number, list: ScatterList): void {
    this.drain();
    this.#disk.write(offset, list);
  }

  /** Everything whose end was told before survives a power cut when this returns. */
  flushNow(): void {
    this.#disk.flush();
  }

  /** The same as `flushNow`, when it has ended; likewise. */
  flush(): number {
    const store = this.#freeCount === 0 ? undefined : this.#disk.storeToFlush();
    if (store !== undefined) {
      const slot = this.#free[this.#freeCount - 1]!;
      if (this.#engine!.startFlush(store, slot)) {
        this.#take(slot).kind = 'flush';
        return slot;
      }
    }
    this.flushNow();
    return DONE;
  }

  discard(offset: number, length: number): void {
    this.drain();
    this.#disk.discard(offset, length);
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): void {
    this.drain();
    this.#disk.writeZeroes(offset, length, mayUnmap);
  }

  resize(size: number): void {
    this.drain();
    this.#disk.resize(size);
  }

  /** Hands requests to the system: call it when there are no more for now. */
  submit(): void {
    this.#engine?.submit();
  }

  /** Tells of the requests that have ended. */
  collect(): void {
    const engine = this.#engine;
    if (engine === undefined) return;
    for (let slot = engine.ended(); slot >= 0; slot = engine.ended()) {
      const error = engine.complete ? undefined : this.#again(this.#requests[slot]!, engine.attempted);
      this.#free[this.#freeCount++] = slot;
      this.#onEnd(slot, error);
    }
  }

  /** Returns when the engine has nothing under way. */
  drain(): void {
    if (this.pending === 0) return;
    this.submit();
    for (this.collect(); this.pending > 0; this.collect()) this.#engine!.wait();
  }

  close(): void {
    this.drain();
    this.#disk.close();
    this.#engine?.close();
  }

  /** The slot, or `DONE` when it is not for the engine. */
  #start(write: boolean, offset: number, list: ScatterList): number {
    if (this.#freeCount === 0 || list.length === 0) return DONE;
    const place = this.#place;
    if (!this.#disk.placeOf(write, offset, list.length, place)) return DONE;
    const slot = this.#free[this.#freeCount - 1]!;
    if (!this.#engine!.start(write, place.store!, place.offset, list, slot)) return DONE;
    const request = this.#take(slot);
    request.kind = write ? 'write' : 'read';
    request.offset = offset;
    request.list.clear();
    request.list.addRange(list, 0, list.length);
    return slot;
  }

  /** The free slot that was looked at has a request. */
  #take(slot: number): Request {
    this.#freeCount--;
    return this.#requests[slot]!;
  }

  /** Does what the engine could not: it is a rare end, and tells the reason. */
  #again({ kind, offset, list }: Request, attempted: boolean): CrosvmError | undefined {
    if (kind === 'flush' && attempted) return new CrosvmError('E_SYSTEM', 'what was written could not be flushed');
    try {
      if (kind === 'flush') this.#disk.flush();
      else if (kind === 'write') this.#disk.write(offset, list);
      else this.#disk.read(offset, list);
      return undefined;
    } catch (error) {
      if (error instanceof CrosvmError) return error;
      throw error;
    }
  }
}
