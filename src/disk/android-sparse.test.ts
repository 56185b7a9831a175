import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesList } from '../memory/bytes-list.ts';
import { AndroidSparseDisk } from './android-sparse.ts';
import { writeAndroidSparse } from './android-sparse-writer.ts';
import { Extent } from './disk.ts';
import { MemoryStore } from './memory-store.ts';
import { RawDisk } from './raw.ts';
import { readDisk } from './testing/disk-model.ts';

const BLOCK = 4096;
type Chunk = readonly [type: number, blocks: number, data: Uint8Array];

function sparse(chunks: readonly Chunk[], changes: { blocks?: number; blockSize?: number; major?: number } = {}) {
  const blocks = changes.blocks ?? chunks.reduce((sum, [type, n]) => sum + (type === 0xcac4 ? 0 : n), 0);
  const parts = [new Uint8Array(28), ...chunks.map(([, , data]) => new Uint8Array([...new Uint8Array(12), ...data]))];
  const header = new DataView(parts[0]!.buffer);
  header.setUint32(0, 0xed26ff3a, true);
  header.setUint16(4, changes.major ?? 1, true);
  header.setUint16(8, 28, true);
  header.setUint16(10, 12, true);
  header.setUint32(12, changes.blockSize ?? BLOCK, true);
  header.setUint32(16, blocks, true);
  header.setUint32(20, chunks.length, true);
  chunks.forEach(([type, n, data], i) => {
    const chunk = new DataView(parts[i + 1]!.buffer);
    chunk.setUint16(0, type, true);
    chunk.setUint32(4, n, true);
    chunk.setUint32(8, 12 + data.length, true);
  });
  return new MemoryStore('x', Buffer.concat(parts));
}

const RAW: Chunk = [0xcac1, 2, new Uint8Array(2 * BLOCK).fill(5)];
const FILL: Chunk = [0xcac2, 3, new Uint8Array([1, 2, 3, 4])];
const NOTHING: Chunk = [0xcac3, 1, new Uint8Array(0)];
const CRC: Chunk = [0xcac4, 0, new Uint8Array(4)];

test('pieces with data, with one value, and with nothing', () => {
  const disk = new AndroidSparseDisk(sparse([NOTHING, RAW, CRC, FILL, NOTHING, CRC]));
  assert.equal(disk.size, 7 * BLOCK);
  const expected = new Uint8Array(7 * BLOCK);
  expected.fill(5, BLOCK, 3 * BLOCK);
  for (let at = 3 * BLOCK; at < 6 * BLOCK; at++) expected[at] = 1 + (at % 4);
  assert.deepEqual(readDisk(disk), expected);
  assert.deepEqual(readDisk(disk, 3 * BLOCK + 3, 5), expected.subarray(3 * BLOCK + 3, 3 * BLOCK + 8));
  assert.deepEqual(readDisk(disk, 3 * BLOCK - 2, 4), expected.subarray(3 * BLOCK - 2, 3 * BLOCK + 2));
  const extent = new Extent();
  disk.locate(BLOCK + 10, 3 * BLOCK, extent);
  assert.deepEqual([extent.kind, extent.offset, extent.length], ['data', 28 + 12 + 12 + 10, 2 * BLOCK - 10]);
  assert.throws(() => disk.write(), { code: 'E_DISK_READ_ONLY' });
  assert.throws(() => disk.read(disk.size, bytesList(new Uint8Array(1))), { code: 'E_DISK_RANGE' });
});

const BAD: readonly [string, MemoryStore][] = [
  ['another version', sparse([RAW], { major: 2 })],
  ['blocks of no size', sparse([RAW], { blockSize: 0 })],
  ['blocks of an odd size', sparse([RAW], { blockSize: 4097 })],
  ['more blocks than pieces', sparse([RAW], { blocks: 3 })],
  ['fewer blocks than pieces', sparse([RAW], { blocks: 1 })],
  ['data that are too short', sparse([[0xcac1, 3, new Uint8Array(BLOCK)]])],
  ['a value that is too short', sparse([[0xcac2, 1, new Uint8Array(2)]])],
  ['an unknown piece', sparse([[0xcac5, 1, new Uint8Array(4)]])],
  ['no header', new MemoryStore('x', new Uint8Array(10))],
];

for (const [what, store] of BAD) {
  test(`a bad image: ${what}`, () => {
    assert.throws(() => new AndroidSparseDisk(store), { name: 'CrosvmError', message: /^x: / });
  });
}

test('a file that is cut off anywhere', () => {
  const whole = sparse([NOTHING, RAW, CRC, FILL]).contents();
  for (let length = 4; length < whole.length; length += 7) {
    assert.throws(() => new AndroidSparseDisk(new MemoryStore('x', whole.subarray(0, length))), {
      name: 'CrosvmError',
    });
  }
});

test('a header that announces more pieces than there can be', () => {
  const bytes = sparse([RAW]).contents();
  new DataView(bytes.buffer).setUint32(20, 0xffff_ffff, true);
  assert.throws(() => new AndroidSparseDisk(new MemoryStore('x', bytes)), /4294967295 pieces/);
});

test('what is written is read again', () => {
  const bytes = new Uint8Array(3_000_000);
  bytes.fill(7, 10_000, 20_000);
  bytes.fill(9, 1 << 20, (1 << 20) + 50_000);
  for (let i = 2_000_000; i < 2_100_000; i++) bytes[i] = i * 31;
  const store = new MemoryStore('x');
  writeAndroidSparse(new RawDisk(new MemoryStore('raw', bytes)), store, () => {});
  assert.ok(store.size < 130_000);
  const disk = new AndroidSparseDisk(store);
  assert.equal(disk.size, Math.ceil(bytes.length / BLOCK) * BLOCK);
  assert.deepEqual(readDisk(disk, 0, bytes.length), bytes);
});
