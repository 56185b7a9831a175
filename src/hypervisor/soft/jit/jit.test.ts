import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU } from '../state.ts';
import { TestEngine } from '../test-engine.ts';
import { DEFAULT_THRESHOLD, EPOCH } from './jit.ts';

const CODE = 0x5000;
const THRESHOLD = 100;

/** Executes a block of INC ECX `perEpoch` times in each of `epochs`; gives how many regions were compiled. */
function compiledAfter(epochs: number, perEpoch: number): number {
  const m = new TestEngine(THRESHOLD);
  m.enterLong(0);
  m.code(CODE, 'ff c1 eb 00 cc'); // inc ecx; jmp to the int3
  for (let epoch = 0; epoch < epochs; epoch++) {
    m.state.setU32(CPU.jitEpoch, 0xffff_ffff - 3 + epoch); // it wraps on the way
    for (let i = 0; i < perEpoch; i++) m.go(CODE);
  }
  assert.equal(m.state.reg(1), BigInt(epochs * perEpoch));
  return m.state.view.getFloat64(m.state.block + CPU.jitCompiled, true);
}

test('a block that is executed often enough within an epoch is compiled', () => {
  assert.equal(compiledAfter(1, THRESHOLD - 1), 0);
  assert.ok(compiledAfter(1, THRESHOLD + 10) > 0);
});

test('executions count less in each later epoch: half the threshold each time is enough, less never', () => {
  assert.ok(compiledAfter(10, THRESHOLD / 2 + 5) > 0);
  assert.equal(compiledAfter(50, THRESHOLD / 2 - 5), 0);
});

test('an epoch is over after so many instructions, and the next is longer if hardly anything was compiled', () => {
  const m = new TestEngine(DEFAULT_THRESHOLD);
  m.enterLong(0);
  m.code(CODE, 'eb fe'); // jmp to itself
  m.go(CODE, EPOCH / 2);
  m.resume(EPOCH / 4);
  m.resume(1);
  assert.equal(m.state.u32(CPU.jitEpoch), 0);
  m.resume(EPOCH / 4);
  m.resume(1);
  assert.equal(m.state.u32(CPU.jitEpoch), 1);
  m.resume(EPOCH + EPOCH / 2);
  m.resume(1);
  assert.equal(m.state.u32(CPU.jitEpoch), 1);
  m.resume(EPOCH / 2);
  m.resume(1);
  assert.equal(m.state.u32(CPU.jitEpoch), 2);
});
