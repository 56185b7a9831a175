import assert from 'node:assert/strict';
import { fstatSync } from 'node:fs';
import { test } from 'node:test';
import { close, pread } from './fd.ts';
import { addressOf } from './ffi.ts';
import { createMemfd } from './memfd.ts';
import { MAP_PRIVATE, mmap, munmap, PROT_NONE, releasePages, view } from './mmap.ts';

const PAGE = 4096;

/** The part of WebAssembly that the test uses; the compiler's libraries declare it for browsers only. */
declare const WebAssembly: {
  Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => { buffer: SharedArrayBuffer };
};

test('stores through a view reach the file', () => {
  const fd = createMemfd('test', 2 * PAGE);
  const address = mmap({ length: 2 * PAGE, fd });
  new Uint8Array(view(address, 2 * PAGE))[PAGE + 1] = 42;
  const bytes = new Uint8Array(2);
  pread(fd, bytes, PAGE);
  assert.deepEqual([...bytes], [0, 42]);
  munmap(address, 2 * PAGE);
  close(fd);
});

test('a file replaces part of a reservation at a fixed address', () => {
  const fd = createMemfd('test', PAGE);
  const reserved = mmap({ length: 4 * PAGE, protection: PROT_NONE });
  assert.equal(mmap({ length: PAGE, fd, address: reserved + PAGE }), reserved + PAGE);
  new Uint8Array(view(reserved + PAGE, PAGE))[3] = 7;
  const second = mmap({ length: PAGE, fd });
  assert.equal(new Uint8Array(view(second, PAGE))[3], 7);
  munmap(second, PAGE);
  munmap(reserved, 4 * PAGE);
  close(fd);
});

test('a private mapping of a file leaves the file alone', () => {
  const fd = createMemfd('test', PAGE);
  const address = mmap({ length: PAGE, fd, flags: MAP_PRIVATE });
  new Uint8Array(view(address, PAGE))[0] = 1;
  const bytes = new Uint8Array(1);
  pread(fd, bytes, 0);
  assert.equal(bytes[0], 0);
  munmap(address, PAGE);
  close(fd);
});

test('addressOf finds buffers, shared buffers and WebAssembly memory', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
  for (const buffer of [new ArrayBuffer(64), new SharedArrayBuffer(64), memory.buffer]) {
    const bytes = new Uint8Array(buffer);
    bytes[5] = 99;
    assert.equal(addressOf(bytes), addressOf(buffer));
    assert.equal(new Uint8Array(view(addressOf(buffer), 64))[5], 99);
    assert.equal(addressOf(bytes.subarray(5)), addressOf(buffer) + 5);
  }
});

test('a bad request is an error, not a mapping', () => {
  assert.throws(() => mmap({ length: 0 }), /mmap failed for 0 bytes: .*\(EINVAL\)/);
  assert.throws(() => mmap({ length: PAGE, fd: 9999 }), { errno: 'EBADF' });
});

test('the address of a small array holds', () => {
  const small = new Uint8Array(8);
  const address = addressOf(small);
  let garbage: unknown[] = [];
  for (let i = 0; i < 300_000; i++) garbage = [garbage.length, new Uint8Array(8)];
  small[2] = 33;
  assert.equal(new Uint8Array(view(address, 8))[2], 33);
  assert.equal(garbage.length, 2);
});

test('pages that are given back are zeroes, and not in use, for everybody', () => {
  const size = 16 * 4096;
  const fd = createMemfd('release', size);
  const [one, other] = [mmap({ length: size, fd }), mmap({ length: size, fd })];
  const [a, b] = [new Uint8Array(view(one, size)), new Uint8Array(view(other, size))];
  a.fill(7);
  assert.equal(fstatSync(fd).blocks * 512, size);
  releasePages(one + 100, 4 * 4096);
  assert.equal(fstatSync(fd).blocks * 512, size - 3 * 4096);
  assert.deepEqual([b[4095], b[4096], b[4 * 4096 - 1], b[4 * 4096]], [7, 0, 0, 7]);
  releasePages(one, 4095);
  assert.equal(b[0], 7);
  for (const address of [one, other]) munmap(address, size);
  close(fd);
});
