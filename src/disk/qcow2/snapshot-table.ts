import { formatError } from '../disk.ts';
import type { ImageFile } from './image-file.ts';
import { MAX_L1_BYTES, MAX_SNAPSHOT_EXTRA, MAX_SNAPSHOT_TABLE_BYTES, TWO_32 } from './layout.ts';

/** Without extra data, id and name. */
const FIXED_LENGTH = 40;
/** VM state size, disk size, instruction count. */
const EXTRA_WRITTEN = 24;

/** An internal snapshot, as in the snapshot table. */
export interface Snapshot {
  readonly id: string;
  readonly name: string;
  readonly l1Offset: number;
  /** Entries. */
  readonly l1Size: number;
  /** Seconds since 1970, and nanoseconds. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Nanoseconds that the VM had run. */
  readonly vmClock: number;
  readonly vmStateSize: number;
  readonly diskSize: number;
  /** Extra data that we do not know, behind what we do. */
  readonly otherExtra: Uint8Array;
  /** Instructions that the VM had executed, as 8 bytes; all ones for "unknown". */
  readonly instructions: Uint8Array;
}

/** Reads the snapshot table; `bytes` is its length. */
export function readSnapshots(image: ImageFile): { snapshots: Snapshot[]; bytes: number } {
  const { header, store, name } = image;
  const snapshots: Snapshot[] = [];
  const start = header.snapshotsOffset;
  let at = 0;
  const take = (length: number) => {
    if (at + length > MAX_SNAPSHOT_TABLE_BYTES || start + at + length > store.size) {
      throw formatError(name, 'the snapshot table is too long, or beyond the end of the file');
    }
    const bytes = new Uint8Array(length);
    store.read(start + at, bytes);
    at += length;
    return bytes;
  };
  for (let i = 0; i < header.snapshotCount; i++) {
    at = Math.ceil(at / 8) * 8;
    const fixed = new DataView(take(FIXED_LENGTH).buffer);
    const extraLength = fixed.getUint32(36);
    if (extraLength > MAX_SNAPSHOT_EXTRA)
      throw formatError(name, `snapshot ${i} has ${extraLength} bytes of extra data`);
    const extra = take(extraLength);
    const id = text(take(fixed.getUint16(12)));
    snapshots.push(parse(image, fixed, extra, id, text(take(fixed.getUint16(14)))));
  }
  return { snapshots, bytes: at };
}

function parse(image: ImageFile, fixed: DataView, extra: Uint8Array, id: string, name: string): Snapshot {
  const { clusterSize } = image;
  const more = new DataView(extra.buffer, extra.byteOffset, extra.byteLength);
  const l1Offset = u64(fixed, 0);
  const l1Size = fixed.getUint32(8);
  if (l1Size * 8 > MAX_L1_BYTES || l1Offset % clusterSize !== 0 || (l1Size > 0 && l1Offset === 0)) {
    throw formatError(
      image.name,
      `snapshot ${JSON.stringify(name)} has an L1 table of ${l1Size} entries at ${l1Offset}`,
    );
  }
  const diskSize = extra.length >= 16 ? u64(more, 8) : image.header.size;
  if (!Number.isSafeInteger(diskSize) || Math.ceil(diskSize / image.bytesPerL2) > l1Size) {
    throw formatError(image.name, `snapshot ${JSON.stringify(name)} has an L1 table that is too small for its disk`);
  }
  return {
    id,
    name,
    l1Offset,
    l1Size,
    seconds: fixed.getUint32(16),
    nanoseconds: fixed.getUint32(20),
    vmClock: u64(fixed, 24),
    vmStateSize: extra.length >= 8 ? u64(more, 0) : fixed.getUint32(32),
    diskSize,
    instructions: extra.length >= 24 ? extra.slice(16, 24) : new Uint8Array(8).fill(0xff),
    otherExtra: extra.slice(Math.min(extra.length, EXTRA_WRITTEN)),
  };
}

/** The snapshot table as it stands in an image. */
export function encodeSnapshots(snapshots: readonly Snapshot[]): Uint8Array {
  const parts = snapshots.map(encode);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function encode(snapshot: Snapshot): Uint8Array {
  const id = new TextEncoder().encode(snapshot.id);
  const name = new TextEncoder().encode(snapshot.name);
  const extraLength = EXTRA_WRITTEN + snapshot.otherExtra.length;
  const bytes = new Uint8Array(Math.ceil((FIXED_LENGTH + extraLength + id.length + name.length) / 8) * 8);
  const view = new DataView(bytes.buffer);
  setU64(view, 0, snapshot.l1Offset);
  view.setUint32(8, snapshot.l1Size);
  view.setUint16(12, id.length);
  view.setUint16(14, name.length);
  view.setUint32(16, snapshot.seconds);
  view.setUint32(20, snapshot.nanoseconds);
  setU64(view, 24, snapshot.vmClock);
  view.setUint32(32, snapshot.vmStateSize < TWO_32 ? snapshot.vmStateSize : 0);
  view.setUint32(36, extraLength);
  setU64(view, 40, snapshot.vmStateSize);
  setU64(view, 48, snapshot.diskSize);
  bytes.set(snapshot.instructions, 56);
  bytes.set(snapshot.otherExtra, FIXED_LENGTH + EXTRA_WRITTEN);
  bytes.set(id, FIXED_LENGTH + extraLength);
  bytes.set(name, FIXED_LENGTH + extraLength + id.length);
  return bytes;
}

function u64(view: DataView, at: number): number {
  return view.getUint32(at) * TWO_32 + view.getUint32(at + 4);
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / TWO_32));
  view.setUint32(at + 4, value % TWO_32);
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
