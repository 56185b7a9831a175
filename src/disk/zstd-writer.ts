import { bytesList } from '../memory/bytes-list.ts';
import type { ByteStore } from './byte-store.ts';
import type { Codec } from './codec.ts';
import type { Disk } from './disk.ts';
import type { Progress } from './tools/progress.ts';
import { FOOTER, FRAME_HEADER, SEEKABLE_MAGIC, SKIPPABLE_MAGIC } from './zstd-format.ts';

/** Bytes of a frame: what a read of a few of them costs. */
const FRAME_BYTES = 128 << 10;

/** Writes the contents of a disk as a seekable zstd image to `store`, which is empty. */
export function writeZstd(source: Disk, store: ByteStore, codec: Codec, progress: Progress): void {
  const entries: number[] = [];
  const bytes = new Uint8Array(FRAME_BYTES);
  let end = 0;
  for (let at = 0; at < source.size; at += FRAME_BYTES) {
    const part = bytes.subarray(0, Math.min(FRAME_BYTES, source.size - at));
    source.read(at, bytesList(part));
    const frame = codec.compress('zstd', part);
    store.write(end, frame);
    end += frame.length;
    entries.push(frame.length, part.length);
    progress(at + part.length, source.size);
  }
  store.write(end, seekTable(entries));
}

/** `entries`: for each frame its bytes in the file and in the disk. */
function seekTable(entries: readonly number[]): Uint8Array {
  const table = new DataView(new ArrayBuffer(FRAME_HEADER + entries.length * 4 + FOOTER));
  table.setUint32(0, SKIPPABLE_MAGIC, true);
  table.setUint32(4, table.byteLength - FRAME_HEADER, true);
  for (const [i, entry] of entries.entries()) table.setUint32(FRAME_HEADER + i * 4, entry, true);
  table.setUint32(table.byteLength - FOOTER, entries.length / 2, true);
  table.setUint32(table.byteLength - 4, SEEKABLE_MAGIC, true);
  return new Uint8Array(table.buffer);
}
