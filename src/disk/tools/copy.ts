import type { HostMemory } from '../../memory/scatter-list.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import type { Codec } from '../codec.ts';
import { type Disk, Extent } from '../disk.ts';
import { Qcow2Disk } from '../qcow2/qcow2-disk.ts';
import { isZero } from './zeroes.ts';

/** Read and written at a time. */
const CHUNK = 2 << 20;
/** Zeroes of less than this are written with the data around them. */
const HOLE = 65536;
/** Clusters that are being compressed at a time. */
const COMPRESSING = 8;

/** Told how far long work has come: bytes of all. */
export type Progress = (done: number, total: number) => void;

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

/** The same, with each cluster compressed. */
export async function copyCompressed(source: Disk, target: Qcow2Disk, codec: Codec, progress: Progress): Promise<void> {
  const { clusterSize, header } = target.parts.image;
  const waiting: { offset: number; bytes: Uint8Array; packed: Promise<Uint8Array> }[] = [];
  const writeFirst = async () => {
    const { offset, bytes, packed } = waiting.shift()!;
    if (target.writeCompressed(offset, await packed)) return;
    const list = new ScatterList();
    list.add({ bytes, address: 0 }, 0, Math.min(bytes.length, target.size - offset));
    target.write(offset, list);
  };
  let cluster = 0;
  for (const piece of dataPieces(source, progress)) {
    const end = piece.offset + piece.length;
    for (cluster = Math.max(cluster, Math.floor(piece.offset / clusterSize)); cluster * clusterSize < end; cluster++) {
      const offset = cluster * clusterSize;
      const bytes = new Uint8Array(clusterSize);
      const list = new ScatterList();
      list.add({ bytes, address: 0 }, 0, Math.min(clusterSize, source.size - offset));
      source.read(offset, list);
      if (isZero(bytes, 0, clusterSize)) continue;
      waiting.push({ offset, bytes, packed: codec.compress(header.compression, bytes) });
      if (waiting.length >= COMPRESSING) await writeFirst();
    }
  }
  while (waiting.length > 0) await writeFirst();
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
