import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bytesList } from '../disk/bytes-list.ts';
import { DiskQueue } from '../disk/disk-queue.ts';
import { createQcow2 } from '../disk/qcow2/create.ts';
import { readHeader } from '../disk/qcow2/open.ts';
import { Qcow2Disk } from '../disk/qcow2/qcow2-disk.ts';
import { RawDisk } from '../disk/raw.ts';
import { DiskModel, Random, randomChange, readDisk } from '../disk/testing.ts';
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

/** All tags that end, until nothing is pending; each without an error. */
function finish(queue: DiskQueue): number[] {
  const tags: number[] = [];
  queue.submit();
  queue.drain();
  for (let tag = queue.next(); tag >= 0; tag = queue.next()) {
    assert.equal(queue.error, undefined);
    tags.push(tag);
  }
  return tags;
}

test('requests of several pieces, more than once around the ring', { skip }, () => {
  const file = newFile();
  file.resize(1 << 20);
  const ring = openRing(8);
  const queue = new DiskQueue(new RawDisk(file), ring);
  const expected = new Uint8Array(1 << 20);
  for (let round = 0; round < 20; round++) {
    const tags: number[] = [];
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
      // A hole is not data yet, so that is done at once.
      if (!queue.write(at, list, i)) tags.push(i);
    }
    assert.deepEqual(finish(queue).sort(), tags);
  }
  assert.deepEqual(readDisk(new RawDisk(file)), expected);
  ring.close();
  file.close();
});

test('the eventfd tells that something has ended', { skip }, () => {
  const file = newFile();
  file.write(0, new Uint8Array(4096).fill(7));
  const ring = openRing(4);
  const queue = new DiskQueue(new RawDisk(file), ring);
  const bytes = new Uint8Array(4096);
  assert.equal(queue.read(0, bytesList(bytes), 42), false);
  assert.equal(queue.pending, 1);
  queue.submit();
  assert.ok(waitReadable(ring.eventFd.fd, 5000));
  assert.equal(queue.next(), 42);
  assert.equal(queue.next(), -1);
  assert.equal(queue.pending, 0);
  assert.deepEqual(bytes, new Uint8Array(4096).fill(7));
  ring.close();
  file.close();
});

test('more requests than the ring takes, and lists of too many pieces, are done at once', { skip }, () => {
  const file = newFile();
  file.write(0, new Uint8Array(65536).fill(7));
  const ring = openRing(2);
  const queue = new DiskQueue(new RawDisk(file), ring);
  const lists = Array.from({ length: 5 }, () => bytesList(new Uint8Array(512)));
  const now = lists.map((list, i) => queue.read(i * 512, list, i));
  assert.equal(now.filter((done) => !done).length, ring.capacity);
  finish(queue);
  for (const list of lists) assert.deepEqual(list.memories[0]!.bytes, new Uint8Array(512).fill(7));
  const many = new ScatterList();
  const memory = { bytes: new Uint8Array(1000), address: 0 };
  for (let i = 0; i < 1000; i++) many.add(memory, i, 1);
  assert.equal(queue.read(0, many, 1), true);
  assert.deepEqual(memory.bytes, new Uint8Array(1000).fill(7));
  ring.close();
  file.close();
});

test('a request that cannot be carried out ends with its error', { skip }, () => {
  const file = newFile();
  file.write(0, new Uint8Array(65536).fill(7));
  const ring = openRing(2);
  const queue = new DiskQueue(new RawDisk(file), ring);
  queue.read(0, bytesList(new Uint8Array(512)), 0);
  finish(queue);
  truncateSync(file.name, 1000);
  assert.equal(queue.read(512, bytesList(new Uint8Array(4096)), 5), false);
  queue.drain();
  assert.equal(queue.next(), 5);
  assert.equal(queue.error?.code, 'E_FILE_CHANGED');
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
    for (let i = 0; i < 30; i++) randomChange(disk, model, random, 4096);
    const ring = openRing(16);
    const queue = new DiskQueue(disk, ring);
    let inFlight = 0;
    for (let i = 0; i < 300; i++) {
      // Requests that are under way at a time do not overlap: each has its own place in the row.
      const offset = ((i * 37) % 64) * 16384 + random.below(20) * 512;
      const bytes = new Uint8Array(512 * (1 + random.below(10))).fill(1 + random.below(255));
      const kind = random.below(20);
      if (kind < 16) {
        model.write(offset, bytes, bytes.length);
        if (!queue.write(offset, bytesList(bytes), i)) inFlight++;
      } else if (kind < 18) {
        model.write(offset, undefined, 4096);
        queue.writeZeroes(offset, 4096, true);
      } else queue.flush();
      if (i % 16 === 15) finish(queue);
    }
    finish(queue);
    assert.ok(inFlight > 10);
    assert.deepEqual(readDisk(disk), model.contents);
    ring.close();
    disk.close();
  }
});
