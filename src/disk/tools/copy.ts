import type { HostMemory } from '../../memory/scatter-list.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import { type Disk, Extent } from '../disk.ts';
import { Qcow2Disk } from '../qcow2/qcow2-disk.ts';
import type { Packer } from './packer.ts';
import type { Progress } from './progress.ts';
import { isZero } from './zeroes.ts';

/** Read and written at a time. */
const CHUNK = 2 << 20;
/** Zeroes of less than this are written with the data around them. */
const HOLE = 65536;

/** Copies the contents of a disk to a new one of at least its size, which reads as zeroes; zeroes are left out. */
export function copyDisk(source: Disk, target: Disk, progress: Progress): void {
  const memory: HostMemory = { bytes: new Uint8Array(CHUNK), address: 0 };
  const list = new ScatterList();
  const granularity = target instanceof Qcow2Disk ? Math.max(target.parts.image.subclusterSize, 4096) : HOLE;
  for (const { offset, length } of dataPieces(source, progress)) {
    list.clear();
    list.add(memory, 0, length);
    source.read(offset, list);
    for (let at = 0; at < length; ) {
      const end = sameKind(memory.bytes, offset, at, length, granularity);
      if (!isZero(memory.bytes, at, Math.min(end, nextStep(offset, at, granularity)))) {
        list.clear();
        list.add(memory, at, end - at);
        target.write(offset + at, list);
      }
      at = end;
    }
  }
  target.flush();
}

/** The same, with each cluster compressed by `packer`, whose batches are written in the order in which they are read. */
export function copyCompressed(source: Disk, target: Qcow2Disk, packer: Packer, progress: Progress): void {
  new CompressedCopy(source, target, packer).run(progress);
}

class CompressedCopy {
  readonly #source: Disk;
  readonly #target: Qcow2Disk;
  readonly #packer: Packer;
  readonly #clusterSize: number;
  readonly #list = new ScatterList();
  readonly #inputs: readonly HostMemory[];
  /** Guest offsets of the clusters of each batch. */
  readonly #offsets: readonly number[][];
  #batch = 0;

  constructor(source: Disk, target: Qcow2Disk, packer: Packer) {
    this.#source = source;
    this.#target = target;
    this.#packer = packer;
    this.#clusterSize = target.parts.image.clusterSize;
    this.#inputs = Array.from({ length: packer.batches }, (_, i) => ({ bytes: packer.input(i), address: 0 }));
    this.#offsets = this.#inputs.map(() => []);
  }

  run(progress: Progress): void {
    const clusterSize = this.#clusterSize;
    let cluster = 0;
    for (const piece of dataPieces(this.#source, progress)) {
      const end = piece.offset + piece.length;
      cluster = Math.max(cluster, Math.floor(piece.offset / clusterSize));
      for (; cluster * clusterSize < end; cluster++) this.#add(cluster * clusterSize);
    }
    if (this.#offsets[this.#batch]!.length > 0) this.#start();
    for (let left = this.#packer.batches; left > 0; left--) {
      this.#write(this.#batch);
      this.#next();
    }
    this.#target.flush();
  }

  /** Puts a cluster into the batch, unless it is all zeroes. */
  #add(offset: number): void {
    const offsets = this.#offsets[this.#batch]!;
    const memory = this.#inputs[this.#batch]!;
    const at = offsets.length * this.#clusterSize;
    const length = Math.min(this.#clusterSize, this.#source.size - offset);
    this.#list.clear();
    this.#list.add(memory, at, length);
    this.#source.read(offset, this.#list);
    memory.bytes.fill(0, at + length, at + this.#clusterSize);
    if (isZero(memory.bytes, at, at + length)) return;
    offsets.push(offset);
    if (offsets.length === this.#packer.room) this.#start();
  }

  /** Has the batch compressed, and makes the one that was started longest ago free. */
  #start(): void {
    this.#packer.start(this.#batch, this.#offsets[this.#batch]!.length);
    this.#next();
    this.#write(this.#batch);
  }

  #next(): void {
    this.#batch = (this.#batch + 1) % this.#packer.batches;
  }

  /** Writes a batch that was started, if it was. */
  #write(batch: number): void {
    const offsets = this.#offsets[batch]!;
    if (offsets.length === 0) return;
    this.#packer.finish(batch);
    for (const [i, offset] of offsets.entries()) {
      const packed = this.#packer.packed(batch, i);
      if (packed !== undefined && this.#target.writeCompressed(offset, packed)) continue;
      this.#list.clear();
      this.#list.add(
        this.#inputs[batch]!,
        i * this.#clusterSize,
        Math.min(this.#clusterSize, this.#source.size - offset),
      );
      this.#target.write(offset, this.#list);
    }
    offsets.length = 0;
  }
}

/** The stretches of a disk that may be other than zeroes, in pieces that end at multiples of CHUNK. */
function* dataPieces(source: Disk, progress: Progress): Generator<{ offset: number; length: number }> {
  const extent = new Extent();
  for (let offset = 0; offset < source.size; offset += extent.length) {
    source.locate(offset, Math.min(CHUNK - (offset % CHUNK), source.size - offset), extent);
    if (extent.kind !== 'zero') yield { offset, length: extent.length };
    progress(offset + extent.length, source.size);
  }
}

/** Where in `bytes`, which lie at `offset` of the disk, steps of `granularity` stop being all zeroes or not. */
function sameKind(bytes: Uint8Array, offset: number, at: number, length: number, granularity: number): number {
  let end = Math.min(length, nextStep(offset, at, granularity));
  const zero = isZero(bytes, at, end);
  while (end < length) {
    const next = Math.min(length, end + granularity);
    if (isZero(bytes, end, next) !== zero) break;
    end = next;
  }
  return end;
}

function nextStep(offset: number, at: number, granularity: number): number {
  return at + granularity - ((offset + at) % granularity);
}
