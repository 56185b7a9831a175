import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../../base/image-codec.ts';
import { bytesList } from '../../memory/bytes-list.ts';
import { MemoryStore } from '../memory-store.ts';
import { createQcow2 } from '../qcow2/create.ts';
import { readHeader } from '../qcow2/open.ts';
import { Qcow2Disk } from '../qcow2/qcow2-disk.ts';
import { RawDisk } from '../raw.ts';
import { readDisk } from '../testing/disk-model.ts';
import { compareDisks } from './compare.ts';
import { copyCompressed, copyDisk } from './copy.ts';
import { mapDisk } from './map.ts';
import { LocalPacker } from './packer.ts';
import { isZero } from './zeroes.ts';

const SIZE = 5_000_192;

function raw(bytes: Uint8Array): RawDisk {
  return new RawDisk(new MemoryStore('raw', bytes));
}

function qcow2(clusterSize = 65536): Qcow2Disk {
  const store = new MemoryStore('qcow2');
  createQcow2(store, { size: SIZE, clusterSize });
  return new Qcow2Disk(store, readHeader(store), { codec: imageCodec });
}

/** Data here and there, at odd places. */
function contents(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  bytes.fill(1, 12_345, 99_999);
  bytes.fill(2, (2 << 20) - 1, (2 << 20) + 1);
  bytes[SIZE - 1] = 3;
  return bytes;
}

test('zeroes at any place and of any length', () => {
  const bytes = new Uint8Array(200);
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = 1;
    for (const [from, to] of [
      [0, 200],
      [at, at + 1],
      [at + 1, 200],
      [0, at],
      [Math.max(0, at - 9), Math.min(200, at + 9)],
    ] as const) {
      assert.equal(isZero(bytes, from, to), !(from <= at && at < to), `${at} in ${from}-${to}`);
      assert.equal(isZero(bytes.subarray(from), 0, to - from), !(from <= at && at < to));
    }
    bytes[at] = 0;
  }
});

test('a copy has the same contents, and no more than the data', () => {
  const bytes = contents();
  for (const clusterSize of [512, 65536, 2 << 20]) {
    const target = qcow2(clusterSize);
    const told: number[] = [];
    copyDisk(raw(bytes), target, (done) => told.push(done));
    assert.deepEqual(readDisk(target), bytes);
    assert.equal(told.at(-1), SIZE);
    const data = [...mapDisk(target)].filter(({ kind }) => kind === 'data');
    assert.ok(data.reduce((sum, { length }) => sum + length, 0) < 150_000 + 5 * Math.max(clusterSize, 4096));
  }
});

test('a compressed copy, also of what does not get shorter', () => {
  const bytes = contents();
  for (let i = 1 << 20; i < (1 << 20) + 200_000; i++) bytes[i] = Math.imul(i, 2654435761) >>> 23;
  const target = qcow2();
  copyCompressed(raw(bytes), target, new LocalPacker(imageCodec, 'zlib', target.parts.image.clusterSize), () => {});
  assert.deepEqual(readDisk(target), bytes);
  assert.ok([...mapDisk(target)].some(({ kind }) => kind === 'compressed'));
});

test('disks differ at the first byte that does', () => {
  const nothing = () => {};
  const bytes = contents();
  const other = qcow2();
  copyDisk(raw(bytes), other, nothing);
  assert.equal(compareDisks(raw(bytes), other, nothing), undefined);
  for (const at of [0, 12_345, 3_000_001, SIZE - 1]) {
    const changed = bytes.slice();
    changed[at] = 77;
    assert.equal(compareDisks(raw(changed), other, nothing), at);
    assert.equal(compareDisks(other, raw(changed), nothing), at);
  }
  const longer = new Uint8Array(SIZE + 3);
  longer.set(bytes);
  assert.equal(compareDisks(raw(longer), other, nothing), undefined);
  longer[SIZE + 1] = 5;
  assert.equal(compareDisks(raw(longer), other, nothing), SIZE + 1);
});

test('the map of a disk is without gaps, and of the longest stretches', () => {
  const disk = qcow2(4096);
  for (const at of [0, 4096, 8192, 40_960]) disk.write(at, bytesList(new Uint8Array(4096).fill(1)));
  disk.writeZeroes(81_920, 4096, false);
  const map = [...mapDisk(disk)];
  assert.deepEqual(
    map.map(({ start, length, kind, allocated }) => [start, length, kind, allocated]),
    [
      [0, 12_288, 'data', true],
      [12_288, 28_672, 'zero', false],
      [40_960, 4096, 'data', true],
      [45_056, SIZE - 45_056, 'zero', false],
    ],
  );
});
