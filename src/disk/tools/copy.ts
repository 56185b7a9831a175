import type { HostMemory } from '../../memory/scatter-list.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import type { Codec } from '../codec.ts';
import { type Disk, Extent } from '../disk.ts';
import { Qcow2Disk } from '../qcow2/qcow2-disk.ts';
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

/**
 * The same, with each cluster compressed. On this thread: to hand clusters to others costs as much as it takes to
 * compress one.
 */
export function copyCompressed(source: Disk, target: Qcow2Disk, codec: Codec, progress: Progress): void {
  const { clusterSize, header } = target.parts.image;
  const memory: HostMemory = { bytes: new Uint8Array(clusterSize), address: 0 };
  const list = new ScatterList();
  let cluster = 0;
  for (const piece of dataPieces(source, progress)) {
    const end = piece.offset + piece.length;
    for (cluster = Math.max(cluster, Math.floor(piece.offset / clusterSize)); cluster * clusterSize < end; cluster++) {
      const offset = cluster * clusterSize;
      const length = Math.min(clusterSize, source.size - offset);
      list.clear();
      list.add(memory, 0, length);
      source.read(offset, list);
      memory.bytes.fill(0, length);
      if (isZero(memory.bytes, 0, length)) continue;
      const packed = codec.compress(header.compression, memory.bytes);
      if (!target.writeCompressed(offset, packed)) target.write(offset, list);
    }
  }
  target.flush();
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
