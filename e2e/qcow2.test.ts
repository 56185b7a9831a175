/** qcow2 images against qemu-img and qemu-io: both make them, change them in turns, and must agree on what they hold. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hostDiskFiles } from '../src/base/host-disk-files.ts';
import { HostFile } from '../src/base/host-file.ts';
import { imageCodec } from '../src/base/image-codec.ts';
import { mmap, view } from '../src/base/mmap.ts';
import type { Disk } from '../src/disk/disk.ts';
import { openDisk } from '../src/disk/open-disk.ts';
import { checkImage } from '../src/disk/qcow2/check.ts';
import { ImageFile } from '../src/disk/qcow2/image-file.ts';
import { INCOMPATIBLE_DIRTY } from '../src/disk/qcow2/layout.ts';
import { readHeader } from '../src/disk/qcow2/open.ts';
import { Qcow2Disk } from '../src/disk/qcow2/qcow2-disk.ts';
import { applySnapshot, createSnapshot } from '../src/disk/qcow2/snapshots.ts';
import { DiskModel, readDisk } from '../src/disk/testing/disk-model.ts';
import { Random } from '../src/disk/testing/random.ts';
import { bytesList } from '../src/memory/bytes-list.ts';
import { ScatterList } from '../src/memory/scatter-list.ts';
import type { MatrixShare } from './disk/matrix-share.ts';
import { qemuImg, qemuIo, qemuToolsMissing } from './disk/qemu-tools.ts';

const missing = qemuToolsMissing();
if (missing !== false) console.error(`qcow2 tests are skipped: ${missing}`);

/** Combinations of options; more with CROSVM_TEST_QCOW2_CASES. */
const CASES = Number(process.env.CROSVM_TEST_QCOW2_CASES ?? 200);
/** Both programs wait for the medium often, which says nothing here. */
const inMemory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const FIRST = Number(process.env.CROSVM_TEST_QCOW2_SEED ?? 1);

test(`${CASES} images with random options, changed by qemu-io and by us`, { skip: missing }, async () => {
  const program = fileURLToPath(new URL('./disk/matrix-share.ts', import.meta.url));
  const step = Math.min(CASES, availableParallelism());
  const ended = Array.from({ length: step }, async (_, i) => {
    const share: MatrixShare = { first: FIRST + i, end: FIRST + CASES, step, root: inMemory };
    const child = spawn(process.execPath, [program, JSON.stringify(share)], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [status] = (await once(child, 'exit')) as [number | null];
    return status;
  });
  assert.deepEqual(await Promise.all(ended), new Array(step).fill(0));
});

/** A folder, open for as long as `use` runs. */
function inFolder(use: (folder: string) => void): void {
  const folder = mkdtempSync(join(inMemory, 'crosvm-qcow2-'));
  try {
    use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const world = { files: hostDiskFiles, codec: imageCodec };
const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte);

test('an image that was not closed is repaired when it is opened for writing', { skip: missing }, () => {
  inFolder((folder) => {
    const path = join(folder, 'x');
    qemuImg(folder, 'create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', 'x', '8M');
    // "abort" ends qemu-io as a crash would, with the counts still to be written.
    spawnSync('qemu-io', ['-c', 'write -P 7 1M 1M', '-c', 'flush', '-c', 'abort', 'x'], { cwd: folder });
    const before = HostFile.open(path);
    assert.equal(readHeader(before).incompatible & INCOMPATIBLE_DIRTY, INCOMPATIBLE_DIRTY);
    assert.ok(checkImage(before, readHeader(before)).found.errors > 0);
    before.close();
    const disk = openDisk(world, path, { writable: true });
    assert.deepEqual(readDisk(disk, 1 << 20, 1 << 20), filled(1 << 20, 7));
    disk.write(3 << 20, bytesList(filled(65536, 8)));
    disk.close();
    qemuImg(folder, 'check', '-q', 'x');
    qemuIo(folder, 'x', ['read -P 7 1M 1M', 'read -P 8 3M 64k', 'read -P 0 4M 1M']);
  });
});

test('bitmaps stay while an image is only read, and are dropped before it is written', { skip: missing }, () => {
  inFolder((folder) => {
    const path = join(folder, 'x');
    qemuImg(folder, 'create', '-q', '-f', 'qcow2', 'x', '8M');
    qemuImg(folder, 'bitmap', '--add', 'x', 'dirty-since');
    qemuIo(folder, 'x', ['write -P 7 1M 1M']);
    const bytes = readFileSync(path);
    openDisk(world, path).close();
    assert.deepEqual(readFileSync(path), bytes);
    const store = HostFile.open(path);
    const { errors, leaks } = checkImage(store, readHeader(store)).found;
    assert.deepEqual([errors, leaks], [0, 0]);
    store.close();
    openDisk(world, path, { writable: true }).close();
    assert.doesNotMatch(qemuImg(folder, 'info', 'x'), /dirty-since/);
    // Their clusters are given back by a repair.
    const writable = HostFile.open(path, { writable: true });
    assert.equal(checkImage(writable, readHeader(writable), 'leaks').left.leaks, 0);
    writable.close();
    qemuImg(folder, 'check', '-q', 'x');
  });
});

test('an encrypted image is refused by name', { skip: missing }, (t) => {
  inFolder((folder) => {
    const secret = ['--object', 'secret,id=s,data=secret'];
    const luks = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10';
    try {
      qemuImg(folder, 'create', '-q', ...secret, '-f', 'qcow2', '-o', luks, 'x', '8M');
    } catch (error) {
      // It measures how fast this machine is, and gives up where others use it too.
      return t.skip(`qemu-img made no encrypted image: ${(error as Error).message}`);
    }
    assert.throws(() => openDisk(world, join(folder, 'x')), { code: 'E_DISK_UNSUPPORTED', message: /encrypted/ });
  });
});

test('an image that is marked corrupt can be read, and written after a repair', { skip: missing }, () => {
  inFolder((folder) => {
    const path = join(folder, 'x');
    qemuImg(folder, 'create', '-q', '-f', 'qcow2', 'x', '8M');
    qemuIo(folder, 'x', ['write -P 7 1M 64k']);
    const store = HostFile.open(path, { writable: true });
    new ImageFile(store, readHeader(store)).corrupt('a test says so');
    assert.match(qemuImg(folder, 'info', 'x'), /corrupt: true/);
    assert.deepEqual(readDisk(openDisk(world, path), 1 << 20, 65536), filled(65536, 7));
    assert.throws(() => openDisk(world, path, { writable: true }), { code: 'E_DISK_CORRUPT', message: /--repair/ });
    assert.equal(checkImage(store, readHeader(store), 'all').left.errors, 0);
    store.close();
    openDisk(world, path, { writable: true }).close();
    assert.match(qemuImg(folder, 'info', 'x'), /corrupt: false/);
  });
});

test('sizes: larger and smaller, with a backing file behind and with snapshots', { skip: missing }, () => {
  inFolder((folder) => {
    writeFileSync(join(folder, 'base'), filled(4 << 20, 9));
    qemuImg(folder, 'create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'raw', '-o', 'cluster_size=4k', 'x', '1M');
    const disk = openDisk(world, join(folder, 'x'), { writable: true });
    assert.ok(disk instanceof Qcow2Disk);
    disk.write(512 << 10, bytesList(filled(1000, 5)));
    createSnapshot(disk.parts, 'small', 0);
    disk.resize(100 << 20);
    disk.write((100 << 20) - 1000, bytesList(filled(1000, 6)));
    disk.flush();
    assert.deepEqual(readDisk(disk, 1 << 20, 1 << 20), filled(1 << 20, 0), 'the backing file does not show through');
    disk.close();
    qemuImg(folder, 'check', '-q', 'x');
    qemuIo(folder, 'x', [
      'read -P 9 0 512k',
      'read -P 5 512k 1000',
      'read -P 0 1M 98M',
      `read -P 6 ${(100 << 20) - 1000} 1000`,
    ]);
    const again = openDisk(world, join(folder, 'x'), { writable: true });
    assert.ok(again instanceof Qcow2Disk);
    again.resize(256 << 10);
    again.resize(1 << 20);
    assert.deepEqual(readDisk(again, 256 << 10, 768 << 10), filled(768 << 10, 0));
    applySnapshot(again.parts, 'small');
    assert.equal(again.size, 1 << 20);
    assert.deepEqual(readDisk(again, 512 << 10, 1000), filled(1000, 5));
    again.close();
    qemuImg(folder, 'check', '-q', 'x');
  });
});

test('past the page cache, aligned or not', { skip: missing }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-qcow2-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const size = 4 << 20;
  qemuImg(folder, 'create', '-q', '-f', 'qcow2', 'x', `${size}`);
  let disk: Disk;
  try {
    disk = openDisk(world, join(folder, 'x'), { writable: true, direct: true });
  } catch (error) {
    if ((error as { code?: string }).code !== 'E_DISK_DIRECT') throw error;
    return t.skip((error as Error).message);
  }
  const model = new DiskModel(size);
  const random = new Random(1);
  const address = mmap({ length: 1 << 20 });
  const memory = { bytes: new Uint8Array(view(address, 1 << 20)), address };
  for (let i = 0; i < 200; i++) {
    const length = (1 + random.below(64)) * 512;
    const offset = random.below((size - length) / 512) * 512;
    const start = random.chance(70) ? random.below(100) * 4096 : random.below(400_000);
    const list = new ScatterList();
    list.add(memory, start, length);
    memory.bytes.fill(i, start, start + length);
    model.write(offset, memory.bytes.slice(start, start + length), length);
    disk.write(offset, list);
    memory.bytes.fill(0, start, start + length);
    disk.read(offset, list);
    assert.deepEqual(memory.bytes.slice(start, start + length), model.contents.slice(offset, offset + length));
  }
  disk.close();
  writeFileSync(join(folder, 'expected'), model.contents);
  qemuImg(folder, 'check', '-q', 'x');
  qemuImg(folder, 'compare', '-q', '-F', 'raw', 'x', 'expected');
});
