import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  close,
  dup,
  ioctl,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  open,
  pread,
  pwrite,
  read,
  setNonBlocking,
  write,
  writeAll,
} from './fd.ts';

const folder = mkdtempSync(join(tmpdir(), 'fd-test-'));
after(() => rmSync(folder, { recursive: true }));

test('reads and writes at the position and at offsets', () => {
  const fd = open(join(folder, 'file'), O_RDWR | O_CREAT);
  assert.equal(write(fd, Uint8Array.of(1, 2, 3)), 3);
  assert.equal(pwrite(fd, Uint8Array.of(9), 1), 1);
  const bytes = new Uint8Array(8);
  assert.equal(pread(fd, bytes, 0), 3);
  assert.deepEqual([...bytes.subarray(0, 3)], [1, 9, 3]);
  assert.equal(read(fd, bytes), 0);
  const second = dup(fd);
  close(fd);
  assert.equal(pread(second, bytes, 2), 1);
  close(second);
});

test('writeAll writes everything', () => {
  const fd = open(join(folder, 'long'), O_RDWR | O_CREAT);
  writeAll(fd, new Uint8Array(100_000).fill(7));
  const bytes = new Uint8Array(100_001);
  assert.equal(pread(fd, bytes, 0), 100_000);
  assert.equal(bytes[99_999], 7);
  close(fd);
});

test('errors name the call and the reason', () => {
  assert.throws(() => open(join(folder, 'missing'), O_RDONLY), /open failed for .*missing: .*\(ENOENT\)/);
  assert.throws(() => close(-1), /close failed: .*\(EBADF\)/);
  assert.throws(() => read(-1, new Uint8Array(1)), { errno: 'EBADF', call: 'read' });
  const fd = open(folder, O_RDONLY);
  assert.throws(() => read(fd, new Uint8Array(1)), { errno: 'EISDIR' });
  assert.throws(() => ioctl(fd, 0x5401, 0, 'TCGETS'), /ioctl\(TCGETS\) failed: .*\(ENOTTY\)/);
  close(fd);
});

test('a non-blocking descriptor with nothing to read answers -1', () => {
  const fd = open('/dev/ptmx', O_RDWR);
  setNonBlocking(fd, true);
  assert.equal(read(fd, new Uint8Array(1)), -1);
  close(fd);
});
