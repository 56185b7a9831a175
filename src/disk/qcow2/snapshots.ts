import { CrosvmError } from '../../errors.ts';
import { fixCopiedFlags } from './copied-flags.ts';
import { EntryTable } from './entry-table.ts';
import { l1EntriesFor } from './header.ts';
import { MAX_SNAPSHOTS } from './layout.ts';
import type { Parts } from './parts.ts';
import { maxRefcount } from './refcount-block.ts';
import { encodeSnapshots, readSnapshots, type Snapshot } from './snapshot-table.ts';
import { type TreeRange, treeRanges } from './tree.ts';

/**
 * Internal snapshots. A snapshot is another L1 table, and each cluster counts once for every L1 table that leads to it.
 * The image is marked dirty while its counts are between two states; the header changes from one to the other at once.
 */
export function listSnapshots(parts: Parts): readonly Snapshot[] {
  return readSnapshots(parts.image).snapshots;
}

/** Keeps the state of the disk under `name`. `now` is in milliseconds since 1970. */
export function createSnapshot(parts: Parts, name: string, now: number): void {
  const { image, mapping, allocator, writeBack } = parts;
  const { header } = image;
  const snapshots = listSnapshots(parts);
  if (snapshots.some((s) => s.name === name)) throw fail(parts, `there is a snapshot ${JSON.stringify(name)} already`);
  if (snapshots.length >= MAX_SNAPSHOTS) throw fail(parts, `it has ${MAX_SNAPSHOTS} snapshots, the most there can be`);
  if (image.hasDataFile) throw fail(parts, 'an image with a data file can have no snapshots');
  if (name === '' || new TextEncoder().encode(name).length > 255) throw fail(parts, 'a name has 1 to 255 bytes');

  changing(parts, () => {
    const clusters = Math.max(1, image.clustersFor(header.l1Size * 8));
    const l1Offset = allocator.allocateRow(clusters);
    addReferences(parts, mapping.l1);
    writeBack.writeTables();
    writeBack.barrier();
    refreshCopiedFlags(parts);
    // The flags are gone now, as a snapshot's tables have none.
    mapping.l1.writeAll(image.store, l1Offset);
    const ids = snapshots.map((s) => Number(s.id)).filter((id) => Number.isSafeInteger(id));
    const snapshot: Snapshot = {
      id: String(Math.max(0, ...ids) + 1),
      name,
      l1Offset,
      l1Size: header.l1Size,
      seconds: Math.floor(now / 1000),
      nanoseconds: Math.floor(now % 1000) * 1_000_000,
      vmClock: 0,
      vmStateSize: 0,
      diskSize: header.size,
      instructions: new Uint8Array(8).fill(0xff),
      otherExtra: new Uint8Array(0),
    };
    replaceTable(parts, [...snapshots, snapshot]);
  });
}

/** Puts the disk back to what it was when the snapshot was made. The snapshot stays. */
export function applySnapshot(parts: Parts, nameOrId: string): void {
  const { image, mapping, allocator, writeBack, metadata, l2Cache } = parts;
  const { header, clusterSize } = image;
  const snapshot = find(parts, nameOrId);
  const entries = Math.max(snapshot.l1Size, l1EntriesFor(header, snapshot.diskSize));
  const saved = readL1(parts, snapshot).resized(entries);
  changing(parts, () => {
    const clusters = Math.max(1, image.clustersFor(entries * 8));
    const offset = allocator.allocateRow(clusters);
    addReferences(parts, saved);
    saved.writeAll(image.store, offset);
    writeBack.writeTables();
    writeBack.barrier();
    const old = { l1: mapping.l1, offset: header.l1Offset, clusters: image.clustersFor(header.l1Size * 8) };
    header.l1Offset = offset;
    header.l1Size = entries;
    header.size = snapshot.diskSize;
    image.writeSizeAndL1();
    writeBack.barrier();
    metadata.add(offset / clusterSize, clusters);
    mapping.l1 = saved;
    for (const { offset: l2 } of tables(parts, saved)) metadata.add(l2 / clusterSize);
    dropReferences(parts, old.l1);
    if (old.clusters > 0) allocator.free(old.offset, old.clusters);
    writeBack.flush();
    l2Cache.clear();
    refreshCopiedFlags(parts);
  });
}

export function deleteSnapshot(parts: Parts, nameOrId: string): void {
  const { image, allocator, writeBack } = parts;
  const snapshot = find(parts, nameOrId);
  const l1 = readL1(parts, snapshot);
  const rest = listSnapshots(parts).filter((s) => s.id !== snapshot.id || s.name !== snapshot.name);
  changing(parts, () => {
    replaceTable(parts, rest);
    dropReferences(parts, l1);
    allocator.free(snapshot.l1Offset, image.clustersFor(snapshot.l1Size * 8));
    writeBack.flush();
    refreshCopiedFlags(parts);
  });
}

/** Runs `change` between two sound states. */
function changing(parts: Parts, change: () => void): void {
  const { image, writeBack } = parts;
  writeBack.flush();
  image.markDirty();
  writeBack.barrier();
  change();
  writeBack.flush();
  writeBack.writeTables();
  writeBack.barrier();
  image.markSound();
  writeBack.barrier();
}

/** By id or by name. */
function find(parts: Parts, nameOrId: string): Snapshot {
  const snapshots = listSnapshots(parts);
  const found = snapshots.find((s) => s.name === nameOrId) ?? snapshots.find((s) => s.id === nameOrId);
  if (found === undefined) throw fail(parts, `there is no snapshot ${JSON.stringify(nameOrId)}`);
  return found;
}

/** Writes the table of snapshots to a new place, leads the header there, and gives the old one back. */
function replaceTable(parts: Parts, snapshots: readonly Snapshot[]): void {
  const { image, allocator, writeBack, metadata } = parts;
  const { header, clusterSize, store } = image;
  const old = { offset: header.snapshotsOffset, bytes: header.snapshotCount === 0 ? 0 : readSnapshots(image).bytes };
  const bytes = encodeSnapshots(snapshots);
  const clusters = image.clustersFor(bytes.length);
  let offset = 0;
  if (clusters > 0) {
    offset = allocator.allocateRow(clusters);
    metadata.add(offset / clusterSize, clusters);
    store.write(offset, bytes);
  }
  writeBack.writeTables();
  writeBack.barrier();
  header.snapshotsOffset = offset;
  header.snapshotCount = snapshots.length;
  image.writeSnapshots();
  writeBack.barrier();
  if (old.bytes > 0) allocator.free(old.offset, image.clustersFor(old.bytes));
}

/** Counts one reference more to everything that an L1 table leads to. Throws before any change if that does not fit. */
function addReferences(parts: Parts, l1: EntryTable): void {
  const { refcounts, image } = parts;
  const { clusterSize } = image;
  const max = maxRefcount(image.header.refcountOrder);
  for (const check of [true, false]) {
    for (const { offset, bytes } of treeRanges(image, l1)) {
      const end = Math.ceil((offset + bytes) / clusterSize);
      for (let cluster = Math.floor(offset / clusterSize); cluster < end; cluster++) {
        if (!check) refcounts.add(cluster, 1);
        else if (refcounts.get(cluster) + 1 > max) {
          throw fail(
            parts,
            `its reference counts of ${2 ** image.header.refcountOrder} bits have no room for a snapshot`,
          );
        }
      }
    }
  }
}

/** Takes one reference from everything that an L1 table leads to, which the header does not lead to any more. */
function dropReferences({ image, allocator, writeBack }: Parts, l1: EntryTable): void {
  for (const { offset, bytes } of treeRanges(image, l1)) {
    allocator.freeBytes(offset, bytes);
    if (allocator.crowded) writeBack.flush();
  }
}

function tables({ image }: Parts, l1: EntryTable): TreeRange[] {
  return [...treeRanges(image, l1)].filter((range) => range.isTable);
}

/** Whether clusters are referenced once has changed: tells the active tables. */
function refreshCopiedFlags({ image, mapping, refcounts, l2Cache }: Parts): void {
  fixCopiedFlags(image, mapping.l1, refcounts);
  l2Cache.clear();
  const { l1Offset, l1Size } = image.header;
  mapping.l1 = EntryTable.parse(image.readTable('the L1 table', l1Offset, l1Size * 8));
}

function readL1({ image }: Parts, { l1Offset, l1Size }: Snapshot): EntryTable {
  return EntryTable.parse(image.readTable('the L1 table of the snapshot', l1Offset, l1Size * 8));
}

function fail({ image }: Parts, why: string): CrosvmError {
  return new CrosvmError('E_DISK_SNAPSHOT', `${image.name}: ${why}`);
}
