import { CrosvmError } from '../errors.ts';
import { ScatterList } from '../memory/scatter-list.ts';
import { type Disk, Extent } from './disk.ts';
import type { TransferEngine } from './transfer-engine.ts';

/** A request that the engine has. */
class Request {
  write = false;
  /** What the caller calls it. */
  tag = 0;
  offset = 0;
  readonly list = new ScatterList();
}

/**
 * Several requests to a disk at a time. What lies in one piece of a file goes to an engine; everything else is done at
 * once, after the engine has ended what it has if it could be in the way: clusters that an engine writes to must not be
 * given to other data meanwhile.
 */
export class DiskQueue {
  readonly #disk: Disk;
  readonly #engine: TransferEngine;
  readonly #extent = new Extent();
  readonly #requests: Request[];
  readonly #free: number[];
  /** Ended requests that the caller has not asked for. */
  readonly #ended: number[] = [];
  readonly #errors: (CrosvmError | undefined)[] = [];
  /** Why the request that `next` returned last has failed, if it has. */
  error: CrosvmError | undefined = undefined;

  constructor(disk: Disk, engine: TransferEngine) {
    this.#disk = disk;
    this.#engine = engine;
    this.#requests = Array.from({ length: engine.capacity }, () => new Request());
    this.#free = this.#requests.map((_, i) => i);
  }

  /** Requests that the engine has, or whose end nobody has asked for. */
  get pending(): number {
    return this.#requests.length - this.#free.length + this.#ended.length;
  }

  /** Reads; true if that is done, false if `next` will return `tag`. Throws as `Disk.read` does. */
  read(offset: number, list: ScatterList, tag: number): boolean {
    if (this.#start(false, offset, list, tag)) return false;
    this.#disk.read(offset, list);
    return true;
  }

  /** Writes; likewise. */
  write(offset: number, list: ScatterList, tag: number): boolean {
    if (this.#start(true, offset, list, tag)) return false;
    this.drain();
    this.#disk.write(offset, list);
    return true;
  }

  /** Everything whose end was told survives a power cut when this returns. */
  flush(): void {
    this.drain();
    this.#disk.flush();
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
    this.#engine.submit();
  }

  /** The tag of a request that has ended, or -1 if there is none for now. Sets `error`. */
  next(): number {
    this.#collect();
    const tag = this.#ended.shift();
    if (tag === undefined) return -1;
    this.error = this.#errors.shift();
    return tag;
  }

  /** Returns when the engine has nothing under way. */
  drain(): void {
    if (this.#free.length === this.#requests.length) return;
    this.#engine.submit();
    for (this.#collect(); this.#free.length < this.#requests.length; this.#collect()) this.#engine.wait();
  }

  #start(write: boolean, offset: number, list: ScatterList, tag: number): boolean {
    const slot = this.#free.at(-1);
    if (slot === undefined || list.length === 0 || offset + list.length > this.#disk.size) return false;
    const extent = this.#extent;
    this.#disk.locate(offset, list.length, extent);
    const fits = extent.kind === 'data' && extent.length === list.length && (!write || extent.inPlace);
    if (!fits || !this.#engine.start(write, extent.store!, extent.offset, list, slot)) return false;
    this.#free.pop();
    const request = this.#requests[slot]!;
    request.write = write;
    request.tag = tag;
    request.offset = offset;
    request.list.clear();
    request.list.addRange(list, 0, list.length);
    return true;
  }

  #collect(): void {
    for (let slot = this.#engine.ended(); slot >= 0; slot = this.#engine.ended()) {
      const request = this.#requests[slot]!;
      this.#free.push(slot);
      this.#ended.push(request.tag);
      this.#errors.push(this.#engine.complete ? undefined : this.#again(request));
    }
  }

  /** Does what the engine could not: it is a rare end, and tells the reason. */
  #again({ write, offset, list }: Request): CrosvmError | undefined {
    try {
      if (write) this.#disk.write(offset, list);
      else this.#disk.read(offset, list);
      return undefined;
    } catch (error) {
      if (error instanceof CrosvmError) return error;
      throw error;
    }
  }
}
