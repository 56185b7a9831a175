import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DiskQueue, DONE, type QueuedDisk } from '../disk/disk-queue.ts';
import { createQcow2 } from '../disk/qcow2/create.ts';
import { readHeader } from '../disk/qcow2/open.ts';
import { Qcow2Disk } from '../disk/qcow2/qcow2-disk.ts';
import { RawDisk } from '../disk/raw.ts';
import { DiskModel, readDisk } from '../disk/testing/disk-model.ts';
import { applyChange, randomChange } from '../disk/testing/operations.ts';
import { Random } from '../disk/testing/random.ts';
import { bytesList } from '../memory/bytes-list.ts';
import { ScatterList } from '../memory/scatter-list.ts';
import { HostFile } from './host-file.ts';
import { imageCodec } from './image-codec.ts';
import { IoUring } from './io-uring.ts';
import { waitReadable } from './readable.ts';

const probe = IoUring.open(1);
probe?.close();
const skip = probe === undefined && 'this kernel has no io_uring for us';
const folder = mkdtempSync(join(tmpdir(), 'crosvm-io-uring-'));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
function newFile(): HostFile {
  return HostFile.open(join(folder, `file${files++}`), { create: 'new', writable: true });
}

function openRing(entries: number): IoUring {
  const ring = IoUring.open(entries);
  assert.ok(ring);
  return ring;
}

/** A queue that notes what it says of its slots. */
function noting(disk: QueuedDisk, ring: IoUring) {
  const ended: [slot: number, error: string | undefined][] = [];
  const queue = new DiskQueue(disk, ring, (slot, error) => ended.push([slot, error?.code]));
  /** The slots of all that was under way, which ended well. */
  const finish = (): number[] => {
    queue.drain();
    return ended.splice(0).map(([slot, error]) => {
      assert.equal(error, undefined);
      return slot;
    });
  };
  return { queue, ended, finish };
}

test('requests of several pieces, more than once around the ring', { skip }, () => {
  const file = newFile();
  file.resize(1 << 20);
  const ring = openRing(8);
  const { queue, finish } = noting(new RawDisk(file), ring);
  const expected = new Uint8Array(1 << 20);
  for (let round = 0; round < 20; round++) {
    const slots: number[] = [];
    for (let i = 0; i < 8; i++) {
      const offset = ((round * 8 + i) * 7919) % ((1 << 20) - 5000);
      const at = Math.floor(offset / 5000) * 5000;
      const bytes = new Uint8Array(6000).fill(round * 8 + i + 1);
      const list = new ScatterList();
      const memory = { bytes, address: 0 };
      for (const [start, length] of [
        [0, 1000],
        [3000, 1],
        [4001, 1999],
      ] as const)
        list.add(memory, start, length);
      expected.fill(round * 8 + i + 1, at, at + 3000);
      slots.push(queue.write(at, list));
    }
    assert.deepEqual(finish().sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.deepEqual(slots.sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
  }
  assert.deepEqual(readDisk(new RawDisk(file)), expected);
  ring.close();
  file.close();
});

test('the eventfd tells that something has ended', { skip }, () => {
  const file = newFile();
  file.write(0, new Uint8Array(4096).fill(7));
  const ring = openRing(4);
  const { queue, ended } = noting(new RawDisk(file), ring);
  const bytes = new Uint8Array(4096);
  const slot = queue.read(0, bytesList(bytes));
  assert.notEqual(slot, DONE);
  assert.equal(queue.pending, 1);
  queue.submit();
  assert.ok(waitReadable(ring.eventFd.fd, 5000));
  queue.collect();
  assert.deepEqual(ended, [[slot, undefined]]);
  assert.equal(queue.pending, 0);
  assert.deepEqual(bytes, new Uint8Array(4096).fill(7));
  ring.close();
  file.close();
});

test('more requests than the ring takes, and lists of too many pieces, are done at once', { skip }, () => {
  const file = newFile();
  file.write(0, new Uint8Array(65536).fill(7));
  const ring = openRing(2);
  const { queue, finish } = noting(new RawDisk(file), ring);
  const lists = Array.from({ length: 5 }, () => bytesList(new Uint8Array(512)));
  const slots = lists.map((list, i) => queue.read(i * 512, list));
  assert.equal(slots.filter((slot) => slot !== DONE).length, ring.capacity);
  assert.equal(queue.room, 0);
  finish();
  for (const list of lists) assert.deepEqual(list.memories[0]!.bytes, new Uint8Array(512).fill(7));
  const many = new ScatterList();
  const memory = { bytes: new Uint8Array(1000), address: 0 };
  for (let i = 0; i < 1000; i++) many.add(memory, i, 1);
  assert.equal(queue.read(0, many), DONE);
  assert.deepEqual(memory.bytes, new Uint8Array(1000).fill(7));
  ring.close();
  file.close();
});

test('a request that cannot be carried out ends with its error', { skip }, () => {
  const file = newFile();
  file.write(0, new Uint8Array(65536).fill(7));
  const ring = openRing(2);
  const { queue, ended } = noting(new RawDisk(file), ring);
  truncateSync(file.name, 1000);
  const slot = queue.read(512, bytesList(new Uint8Array(4096)));
  queue.drain();
  assert.deepEqual(ended, [[slot, 'E_FILE_CHANGED']]);
  ring.close();
  file.close();
});

test('a flush is carried out beside reads', { skip }, () => {
  const file = newFile();
  file.write(0, new Uint8Array(65536).fill(7));
  const ring = openRing(4);
  const { queue, finish } = noting(new RawDisk(file), ring);
  const bytes = new Uint8Array(512);
  const slots = [queue.flush(), queue.read(0, bytesList(bytes)), queue.flush()];
  assert.ok(!slots.includes(DONE));
  assert.deepEqual(finish().sort(), slots.sort());
  assert.equal(bytes[511], 7);
  ring.close();
  file.close();
});

test('the ring itself does all that it is for, without a second try by others', { skip }, () => {
  const file = newFile();
  file.write(0, new Uint8Array(4096));
  const ring = openRing(2);
  const list = bytesList(new Uint8Array(4096).fill(9));
  for (const start of [
    () => ring.start(true, file, 0, list, 1),
    () => ring.start(false, file, 0, list, 1),
    () => ring.startFlush(file, 1),
  ]) {
    assert.ok(start());
    ring.submit();
    ring.wait();
    assert.equal(ring.ended(), 1);
    assert.equal(ring.complete, true);
  }
  ring.close();
  file.close();
});

test('a flush of what need not survive a power cut is none', { skip }, () => {
  const file = HostFile.temporary();
  const ring = openRing(2);
  assert.equal(noting(new RawDisk(file), ring).queue.flush(), DONE);
  ring.close();
  file.close();
});

test('a qcow2 image through the queue is what it is without one', { skip }, () => {
  for (let seed = 1; seed <= 5; seed++) {
    const random = new Random(seed);
    const file = newFile();
    const size = 1 << 20;
    createQcow2(file, { size, clusterSize: 4096 });
    const disk = new Qcow2Disk(file, readHeader(file), { codec: imageCodec });
    const model = new DiskModel(size);
    for (let i = 0; i < 30; i++) applyChange(disk, model, randomChange(random), 4096);
    const ring = openRing(16);
    const { queue, finish } = noting(disk, ring);
    let inFlight = 0;
    for (let i = 0; i < 300; i++) {
      // Requests that are under way at a time do not overlap: each has its own place in the row.
      const offset = ((i * 37) % 64) * 16384 + random.below(20) * 512;
      const bytes = new Uint8Array(512 * (1 + random.below(10))).fill(1 + random.below(255));
      const kind = random.below(20);
      if (kind < 16) {
        model.write(offset, bytes, bytes.length);
        if (queue.write(offset, bytesList(bytes)) !== DONE) inFlight++;
      } else if (kind < 18) {
        model.write(offset, undefined, 4096);
        queue.writeZeroes(offset, 4096, true);
      } else queue.flush();
      if (i % 16 === 15) finish();
    }
    finish();
    assert.ok(inFlight > 10);
    assert.deepEqual(readDisk(disk), model.contents);
    ring.close();
    disk.close();
  }
});
