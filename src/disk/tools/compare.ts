import type { HostMemory } from '../../memory/scatter-list.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import { type Disk, Extent } from '../disk.ts';
import type { Progress } from './progress.ts';
import { isZero } from './zeroes.ts';

const CHUNK = 1 << 20;

/**
 * Where two disks first differ, or undefined if they do not. What one has more than the other counts as different if it
 * is not zero.
 */
export function compareDisks(a: Disk, b: Disk, progress: Progress): number | undefined {
  const [long, short] = a.size >= b.size ? [a, b] : [b, a];
  const readers = [new Reader(long), new Reader(short)] as const;
  for (let at = 0; at < long.size; ) {
    const inBoth = at < short.size;
    const length = Math.min(CHUNK, (inBoth ? short.size : long.size) - at);
    const one = readers[0].read(at, length);
    const two = inBoth ? readers[1].read(at, length) : undefined;
    const difference = one === undefined && two === undefined ? undefined : firstDifference(one, two, length);
    if (difference !== undefined) return at + difference;
    at += length;
    progress(at, long.size);
  }
  return undefined;
}

class Reader {
  readonly #disk: Disk;
  readonly #memory: HostMemory = { bytes: new Uint8Array(CHUNK), address: 0 };
  readonly #list = new ScatterList();
  readonly #extent = new Extent();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** The bytes; undefined for zeroes. */
  read(offset: number, length: number): Uint8Array | undefined {
    this.#disk.locate(offset, length, this.#extent);
    if (this.#extent.kind === 'zero' && this.#extent.length === length) return undefined;
    this.#list.clear();
    this.#list.add(this.#memory, 0, length);
    this.#disk.read(offset, this.#list);
    return this.#memory.bytes;
  }
}

function firstDifference(one: Uint8Array | undefined, two: Uint8Array | undefined, length: number): number | undefined {
  if (one === undefined || two === undefined) {
    const bytes = (one ?? two)!;
    if (isZero(bytes, 0, length)) return undefined;
    return bytes.findIndex((byte) => byte !== 0);
  }
  if (sameWords(one, two, length)) return undefined;
  for (let i = 0; i < length; i++) if (one[i] !== two[i]) return i;
  return undefined;
}

/** Both are whole buffers; quick, where it is all the same. */
function sameWords(one: Uint8Array, two: Uint8Array, length: number): boolean {
  const count = length >>> 2;
  const a = new Uint32Array(one.buffer, one.byteOffset, count);
  const b = new Uint32Array(two.buffer, two.byteOffset, count);
  for (let i = 0; i < count; i++) if (a[i] !== b[i]) return false;
  for (let i = count * 4; i < length; i++) if (one[i] !== two[i]) return false;
  return true;
}
