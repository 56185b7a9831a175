import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from './sha256.ts';

test('the digest is that of the parts together (FIPS 180-2, appendix B.1)', () => {
  const digest = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  assert.equal(sha256(['abc']), digest);
  const shared = new Uint8Array(new SharedArrayBuffer(1)).fill(0x62);
  assert.equal(sha256(['a', shared, Uint8Array.of(0x63)]), digest);
  assert.notEqual(sha256(['abd']), digest);
});
