import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU, CPU_SIZE } from './state.ts';

test('no two fields of a vCPU have the same place', () => {
  const offsets = Object.values(CPU);
  assert.equal(new Set(offsets).size, offsets.length);
  assert.ok(Math.max(...offsets) < CPU_SIZE);
});
