import assert from 'node:assert/strict';
import { test } from 'node:test';
import { consecutive, StructView, structLayout } from './struct-layout.ts';

const LAYOUT = structLayout('sample', 24, {
  ...consecutive('u8', 0, ['a', 'b']),
  word: [2, 'u16'],
  double: [4, 'u32'],
  quad: [8, 'u64'],
  tail: [16, 8],
});

test('fields are little-endian at their offsets', () => {
  const bytes = new Uint8Array(32).fill(0xff);
  const view = new StructView(LAYOUT, bytes, 8).clear();
  view.set('b', 0x1ff);
  view.set('word', 0x1234);
  view.set('double', 0x89ab_cdef);
  view.set('quad', 2 ** 40 + 1);
  view.raw('tail')[7] = 9;
  assert.deepEqual(
    [...bytes.subarray(8)],
    [0, 255, 0x34, 0x12, 0xef, 0xcd, 0xab, 0x89, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
  );
  assert.deepEqual([view.get('b'), view.get('word'), view.get('double')], [255, 0x1234, 0x89ab_cdef]);
  assert.equal(view.getBig('quad'), 2n ** 40n + 1n);
  assert.ok(bytes.subarray(0, 8).every((byte) => byte === 0xff));
});

test('a field outside of its struct, a struct outside of its bytes, a field of the wrong kind', () => {
  assert.throws(() => structLayout('bad', 4, { x: [2, 'u32'] }), RangeError);
  assert.throws(() => new StructView(LAYOUT, new Uint8Array(23)), RangeError);
  const view = new StructView(LAYOUT, new Uint8Array(24));
  assert.throws(() => view.get('quad'), TypeError);
  assert.throws(() => view.set('tail', 1), TypeError);
});
