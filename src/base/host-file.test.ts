import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ScatterList } from '../memory/scatter-list.ts';
import { allocatedBytes, HostFile } from './host-file.ts';
import { mmap, view } from './mmap.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-host-file-'));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
function file(contents: Uint8Array | string = ''): string {
  const path = join(folder, `file${files++}`);
  writeFileSync(path, contents);
  return path;
}

const counted = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255);

/** A list of pieces of these lengths, at odd places of one buffer. */
function pieces(lengths: readonly number[], bytes = new Uint8Array(1 << 20)): ScatterList {
  const list = new ScatterList();
  const memory = { bytes, address: 0 };
  let start = 3;
  for (const length of lengths) {
    list.add(memory, start, length);
    start += length + 5;
  }
  return list;
}

test('reads and writes at offsets; beyond the end there are zeroes', () => {
  using opened = closing(HostFile.open(file('0123456789'), { writable: true }));
  const { store } = opened;
  const bytes = new Uint8Array(6).fill(9);
  store.read(7, bytes);
  assert.deepEqual([...bytes], [55, 56, 57, 0, 0, 0]);
  store.write(20, new Uint8Array([1]));
  assert.equal(store.size, 21);
  store.read(100, bytes);
  assert.deepEqual([...bytes], [0, 0, 0, 0, 0, 0]);
});

test('lists of pieces: one, several, more than one call takes, and empty ones', () => {
  const contents = counted(100_000);
  const path = file(contents);
  using opened = closing(HostFile.open(path, { writable: true }));
  const { store } = opened;
  for (const lengths of [[5000], [1, 4096, 0, 77], Array.from({ length: 3000 }, (_, i) => i % 30)]) {
    const list = pieces(lengths);
    store.readList(123, list);
    const read = new Uint8Array(list.length);
    list.copyTo(read);
    assert.deepEqual(read, contents.subarray(123, 123 + list.length));
    store.writeList(50_000, list);
    assert.deepEqual(Uint8Array.from(readFileSync(path)).subarray(50_000, 50_000 + list.length), read);
    store.write(0, contents);
  }
});

test('a list across the end of the file', () => {
  using opened = closing(HostFile.open(file(counted(100))));
  const list = pieces([30, 30], new Uint8Array(100).fill(255));
  opened.store.readList(90, list);
  const read = new Uint8Array(60);
  list.copyTo(read);
  assert.deepEqual([...read], [...counted(100).subarray(90), ...new Uint8Array(50)]);
});

test('a file that shrinks is an error, not zeroes', () => {
  const path = file(counted(10_000));
  using opened = closing(HostFile.open(path));
  truncateSync(path, 5000);
  assert.throws(() => opened.store.read(4000, new Uint8Array(2000)), { code: 'E_FILE_CHANGED' });
  assert.throws(() => opened.store.readList(4000, pieces([1000, 1000])), { code: 'E_FILE_CHANGED' });
});

test('holes: zeroes that take no space', () => {
  const path = file(new Uint8Array(1 << 20).fill(1));
  using opened = closing(HostFile.open(path, { writable: true }));
  const { store } = opened;
  const before = allocatedBytes(path);
  store.punchHole(0, 512 << 10);
  const bytes = new Uint8Array(4);
  store.read((512 << 10) - 2, bytes);
  assert.deepEqual([...bytes], [0, 0, 1, 1]);
  assert.ok(allocatedBytes(path) <= before);
  assert.equal(store.nextData(512 << 10), 512 << 10);
  assert.equal(store.nextHole(512 << 10), 1 << 20);
  store.punchHole(1 << 20, 4096);
  assert.equal(store.size, 1 << 20);
  store.zeroRange((1 << 20) - 10, 20);
  assert.equal(store.size, (1 << 20) + 10);
  assert.equal(statSync(path).size, (1 << 20) + 10);
});

test('past the page cache: aligned requests, and any others', () => {
  const contents = counted(64 << 10);
  const path = file(contents);
  using opened = closing(HostFile.open(path, { writable: true, direct: true }));
  const { store } = opened;
  const address = mmap({ length: 65536 });
  const memory = { bytes: new Uint8Array(view(address, 65536)), address };
  const list = new ScatterList();
  for (const [offset, start, length] of [
    [4096, 0, 8192],
    [512, 512, 512],
    [100, 3, 1000],
    [4096, 1, 4096],
  ] as const) {
    list.clear();
    list.add(memory, start, length);
    store.readList(offset, list);
    assert.deepEqual(memory.bytes.slice(start, start + length), contents.slice(offset, offset + length));
    memory.bytes.fill(offset & 255, start, start + length);
    store.writeList(offset, list);
    contents.fill(offset & 255, offset, offset + length);
  }
  assert.deepEqual(Uint8Array.from(readFileSync(path)), contents);
});

test('locks keep writers apart', () => {
  const path = file('x');
  using one = closing(HostFile.open(path, { lock: true }));
  using two = closing(HostFile.open(path, { lock: true }));
  assert.throws(() => HostFile.open(path, { lock: true, writable: true }), {
    code: 'E_DISK_LOCKED',
    message: /in use/,
  });
  one.store.close();
  two.store.close();
  using three = closing(HostFile.open(path, { lock: true, writable: true }));
  assert.throws(() => HostFile.open(path, { lock: true }), { code: 'E_DISK_LOCKED' });
  three.store.close();
});

test('a new file must not exist', () => {
  assert.throws(() => HostFile.open(file(), { create: 'new', writable: true }), /there is such a file already/);
});

test('an unpublished file appears when it is complete, or never', () => {
  const path = join(folder, 'later');
  using one = closing(HostFile.unpublished(path));
  one.store.write(0, new Uint8Array([1, 2, 3]));
  assert.equal(existsSync(path), false);
  one.store.publish();
  assert.deepEqual([...readFileSync(path)], [1, 2, 3]);
  assert.throws(() => HostFile.unpublished(path), { code: 'E_FILE_OPEN', message: /there is such a file already/ });
  const other = join(folder, 'never');
  HostFile.unpublished(other).close();
  assert.equal(existsSync(other), false);
  assert.throws(() => HostFile.unpublished(join(folder, 'no', 'where')), { message: /there is no such file/ });
  // Somebody else was quicker.
  using late = closing(HostFile.unpublished(other));
  writeFileSync(other, 'x');
  assert.throws(() => late.store.publish(), { message: /linkat failed.*EEXIST/ });
});

/** A store that is closed at the end, if it is not by then. */
function closing(store: HostFile): { store: HostFile } & Disposable {
  let open = true;
  const close = store.close.bind(store);
  store.close = () => {
    if (open) close();
    open = false;
  };
  return { store, [Symbol.dispose]: () => store.close() };
}
