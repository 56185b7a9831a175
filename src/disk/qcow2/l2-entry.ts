import { formatError } from '../disk.ts';
import type { ImageFile } from './image-file.ts';
import { HI_COMPRESSED, HI_COPIED, HI_OFFSET, HI_RESERVED, LO_OFFSET, LO_ZERO, SUBCLUSTERS, TWO_32 } from './layout.ts';

/** What a (sub)cluster is: not in this image, zeroes, data in a cluster of the file, or compressed. */
export const UNALLOCATED = 0;
export const ZERO = 1;
export const DATA = 2;
export const COMPRESSED = 3;
/** Bits 1 to 8 of an entry. */
const RESERVED_LO = 0x1fe;
export type ClusterKind = typeof UNALLOCATED | typeof ZERO | typeof DATA | typeof COMPRESSED;

/** An L2 entry, decoded. One object serves all lookups. */
export class L2Entry {
  readonly #image: ImageFile;
  hi = 0;
  lo = 0;
  /** Bitmaps of an extended entry: subclusters with data, subclusters that read as zeroes. */
  allocated = 0;
  zeroes = 0;

  constructor(image: ImageFile) {
    this.#image = image;
  }

  load(view: DataView, at: number): void {
    this.hi = view.getUint32(at);
    this.lo = view.getUint32(at + 4);
    if (this.#image.extended) {
      this.zeroes = view.getUint32(at + 8);
      this.allocated = view.getUint32(at + 12);
    }
  }

  get compressed(): boolean {
    return (this.hi & HI_COMPRESSED) !== 0;
  }

  /** Exactly one reference leads to the cluster, which may be written where it is. */
  get copied(): boolean {
    return (this.hi & HI_COPIED) !== 0;
  }

  /** Offset of the cluster in the file; 0 if there is none (with a data file, that may be one at 0). */
  get host(): number {
    return (this.hi & HI_OFFSET) * TWO_32 + ((this.lo & LO_OFFSET) >>> 0);
  }

  /** Whether a cluster of the file belongs to it, with data or without. */
  get hasCluster(): boolean {
    if (this.compressed) return false;
    return this.host !== 0 || (this.#image.hasDataFile && this.copied);
  }

  /** What a subcluster is (0 for an ordinary entry). Throws `E_DISK_CORRUPT` for an entry that means nothing. */
  kind(subcluster: number): ClusterKind {
    const problem = this.problem();
    if (problem !== undefined) throw this.#image.corrupt(problem);
    if (this.compressed) return COMPRESSED;
    if (!this.#image.extended) return (this.lo & LO_ZERO) !== 0 ? ZERO : this.hasCluster ? DATA : UNALLOCATED;
    if (((this.zeroes >>> subcluster) & 1) === 1) return ZERO;
    return ((this.allocated >>> subcluster) & 1) === 1 ? DATA : UNALLOCATED;
  }

  /** What is wrong with the entry, if something is. */
  problem(): string | undefined {
    const { hasDataFile, extended, header, clusterSize } = this.#image;
    if ((this.hi & HI_COMPRESSED) !== 0) {
      if (hasDataFile) return 'a compressed cluster in an image with a data file';
      if (extended && (this.allocated | this.zeroes) !== 0) return 'a compressed cluster with subclusters';
      return undefined;
    }
    const reserved = (this.hi & HI_RESERVED) | (this.lo & RESERVED_LO);
    if (reserved !== 0 || this.host % clusterSize !== 0) return `an L2 entry is ${hex(this.hi)}${hex(this.lo)}`;
    if (!extended) {
      const badZero = (this.lo & LO_ZERO) !== 0 && header.version === 2;
      return badZero ? 'an L2 entry marks zeroes, which version 2 does not have' : undefined;
    }
    if ((this.lo & LO_ZERO) !== 0 || (this.allocated & this.zeroes) !== 0)
      return 'an extended L2 entry contradicts itself';
    if (this.allocated !== 0 && !this.hasCluster) return 'an extended L2 entry has data without a cluster';
    return undefined;
  }

  /** Why what an entry without a problem refers to cannot be in the file. */
  misplacement(): string | undefined {
    const { hasDataFile, clusterSize, store } = this.#image;
    const fileEnd = Math.ceil(store.size / clusterSize) * clusterSize; // the last cluster may be incomplete
    if (this.compressed) {
      const { offset, length } = this.compressedRange();
      if (offset + length > fileEnd) return `compressed data at offset ${offset} lies beyond the end of the file`;
    } else if (this.hasCluster && !hasDataFile && this.host + clusterSize > fileEnd) {
      return `guest data at offset ${this.host} lies beyond the end of the file`;
    }
    return undefined;
  }

  /** Where compressed data lies: offset, and the length up to the end of its last 512-byte sector. */
  compressedRange(): { offset: number; length: number } {
    const bits = 62 - (this.#image.header.clusterBits - 8);
    const hiBits = bits - 32;
    const offset = (this.hi & ((1 << hiBits) - 1)) * TWO_32 + this.lo;
    const sectors = (this.hi & 0x3fff_ffff) >>> hiBits;
    return { offset, length: (sectors + 1) * 512 - (offset % 512) };
  }
}

/** The upper half of the entry of compressed data that `length` bytes at `offset` hold; its lower half is `offset`'s. */
export function compressedEntryHi(clusterBits: number, offset: number, length: number): number {
  const hiBits = 62 - (clusterBits - 8) - 32;
  if (offset >= 2 ** (hiBits + 32)) throw formatError('', 'the file is too large for compressed clusters');
  const sectors = Math.floor((offset + length - 1) / 512) - Math.floor(offset / 512);
  return (HI_COMPRESSED | (sectors << hiBits) | Math.floor(offset / TWO_32)) >>> 0;
}

/** Bits `from` to `to` - 1 of a bitmap of subclusters. */
export function subclusterBits(from: number, to: number): number {
  const below = (n: number) => (n >= SUBCLUSTERS ? 0xffff_ffff : (1 << n) - 1);
  return (below(to) & ~below(from)) >>> 0;
}

function hex(half: number): string {
  return half.toString(16).padStart(8, '0');
}
