import { formatError } from '../disk.ts';
import type { ImageFile } from './image-file.ts';
import { HI_COMPRESSED, HI_COPIED, HI_OFFSET, HI_RESERVED, LO_OFFSET, LO_ZERO, SUBCLUSTERS, TWO_32 } from './layout.ts';

/** What a (sub)cluster is: not in this image, zeroes, data in a cluster of the file, or compressed. */
export const UNALLOCATED = 0;
export const ZERO = 1;
export const DATA = 2;
export const COMPRESSED = 3;
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
    if ((this.hi & HI_COMPRESSED) !== 0) return this.#compressedKind();
    const image = this.#image;
    const bad =
      (this.hi & HI_RESERVED) !== 0 || (this.lo & ~(LO_OFFSET | LO_ZERO)) !== 0 || this.host % image.clusterSize !== 0;
    if (bad) throw image.corrupt(`an L2 entry is ${hex(this.hi)}${hex(this.lo)}`);
    if (image.extended) return this.#subclusterKind(subcluster);
    if ((this.lo & LO_ZERO) !== 0) {
      if (image.header.version === 2) throw image.corrupt('an L2 entry marks zeroes, which version 2 does not have');
      return ZERO;
    }
    return this.hasCluster ? DATA : UNALLOCATED;
  }

  /** Where compressed data lies: offset, and the length up to the end of its last 512-byte sector. */
  compressedRange(): { offset: number; length: number } {
    const bits = 62 - (this.#image.header.clusterBits - 8);
    const hiBits = bits - 32;
    const offset = (this.hi & ((1 << hiBits) - 1)) * TWO_32 + this.lo;
    const sectors = (this.hi & 0x3fff_ffff) >>> hiBits;
    return { offset, length: (sectors + 1) * 512 - (offset % 512) };
  }

  #compressedKind(): ClusterKind {
    const image = this.#image;
    if (image.hasDataFile) throw image.corrupt('a compressed cluster in an image with a data file');
    if (image.extended && (this.allocated | this.zeroes) !== 0) {
      throw image.corrupt('a compressed cluster with subclusters');
    }
    return COMPRESSED;
  }

  #subclusterKind(subcluster: number): ClusterKind {
    const image = this.#image;
    if ((this.lo & LO_ZERO) !== 0 || (this.allocated & this.zeroes) !== 0) {
      throw image.corrupt('an extended L2 entry contradicts itself');
    }
    if (((this.zeroes >>> subcluster) & 1) === 1) return ZERO;
    if (((this.allocated >>> subcluster) & 1) === 0) return UNALLOCATED;
    if (!this.hasCluster) throw image.corrupt('an extended L2 entry has data without a cluster');
    return DATA;
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
