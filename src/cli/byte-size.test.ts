import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteSize } from './byte-size.ts';

test('sizes in words', () => {
  assert.equal(byteSize(0), '0 bytes');
  assert.equal(byteSize(1023), '1023 bytes');
  assert.equal(byteSize(1024), '1 KiB (1024 bytes)');
  assert.equal(byteSize(1.5 * 2 ** 30), '1.5 GiB (1610612736 bytes)');
  assert.equal(byteSize(2 ** 52), '4 PiB (4503599627370496 bytes)');
});
