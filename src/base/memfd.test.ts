import assert from 'node:assert/strict';
import { fstatSync, ftruncateSync } from 'node:fs';
import { test } from 'node:test';
import { close, pwrite } from './fd.ts';
import { addSeals, createMemfd, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, getSeals } from './memfd.ts';

test('has its size and cannot be resized', () => {
  const fd = createMemfd('test', 12288);
  assert.equal(fstatSync(fd).size, 12288);
  assert.equal(getSeals(fd), F_SEAL_SHRINK | F_SEAL_GROW);
  assert.throws(() => ftruncateSync(fd, 4096), { code: 'EPERM' });
  assert.throws(() => ftruncateSync(fd, 16384), { code: 'EPERM' });
  close(fd);
});

test('seals can be added until F_SEAL_SEAL', () => {
  const fd = createMemfd('test', 4096);
  addSeals(fd, F_SEAL_WRITE | F_SEAL_SEAL);
  assert.throws(() => pwrite(fd, Uint8Array.of(1), 0), { errno: 'EPERM' });
  assert.throws(() => addSeals(fd, F_SEAL_WRITE), { errno: 'EPERM' });
  close(fd);
});

test('an impossible size is refused', () => {
  assert.throws(() => createMemfd('test', -1), /ftruncate failed for test of -1 bytes: .*\(EINVAL\)/);
});
