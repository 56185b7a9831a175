import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OP, type OpName } from '../decode/opcodes.ts';
import { CPU, SLOT } from '../state.ts';
import { exactCode } from './exact-code.ts';
import { SseExact } from './sse-exact.ts';

const BLOCK = 64;
const OSXMMEXCPT = 1 << 10;
const DEFAULT_MXCSR = 0x1f80;
const PRECISION_FLAG = 0x20;
const DIVIDE_BY_ZERO = { flag: 4, mask: 0x200 };

function setUp(mxcsr = DEFAULT_MXCSR): { view: DataView; sse: SseExact; run(op: OpName, imm?: number): number } {
  const view = new DataView(new ArrayBuffer(4096));
  view.setUint32(BLOCK + CPU.mxcsr, mxcsr, true);
  view.setUint32(BLOCK + CPU.cr4, OSXMMEXCPT, true);
  const sse = new SseExact(view, BLOCK);
  return { view, sse, run: (op, imm = 0) => sse.execute(exactCode(op), 1, 2, imm) };
}

const xmm = (n: number): number => BLOCK + CPU.xmm + 16 * n;

test('an unmasked exception leaves the destination and gives #XM, or #UD where the system does not expect it', () => {
  const { view, run } = setUp(DEFAULT_MXCSR & ~DIVIDE_BY_ZERO.mask);
  view.setFloat64(xmm(1), 3, true);
  assert.equal(run('divsd'), 1 + 19);
  assert.equal(view.getFloat64(xmm(1), true), 3);
  assert.equal(view.getUint32(BLOCK + CPU.mxcsr, true) & 0x3f, DIVIDE_BY_ZERO.flag);
  view.setUint32(BLOCK + CPU.cr4, 0, true);
  assert.equal(run('divsd'), 1 + 6);
});

test('an exact result leaves the precision flag clear, an inexact one sets it', () => {
  const { view, run } = setUp();
  view.setFloat64(xmm(1), 6, true);
  view.setFloat64(xmm(2), 3, true);
  assert.equal(run('divsd'), 0);
  assert.equal(view.getFloat64(xmm(1), true), 2);
  assert.equal(view.getUint32(BLOCK + CPU.mxcsr, true), DEFAULT_MXCSR);
  assert.equal(run('divsd'), 0);
  assert.equal(view.getFloat64(xmm(1), true), 2 / 3);
  assert.equal(view.getUint32(BLOCK + CPU.mxcsr, true), DEFAULT_MXCSR | PRECISION_FLAG);
});

test('a float that fits no integer becomes the indefinite one, and is invalid', () => {
  const { view, sse } = setUp();
  for (const value of [Number.NaN, Infinity, 2 ** 31, -(2 ** 31) - 1]) {
    view.setFloat64(xmm(2), value, true);
    assert.equal(sse.execute(exactCode('cvttsd2si', 4), SLOT.rbx, 2, 0), 0);
    assert.equal(view.getBigUint64(BLOCK + SLOT.rbx, true), 0x8000_0000n);
  }
  assert.equal(view.getUint32(BLOCK + CPU.mxcsr, true) & 0x3f, 1);
});

test('what is not known is an invalid instruction', () => {
  const { sse } = setUp();
  assert.equal(SseExact.knows(OP.paddb), false);
  assert.equal(sse.execute(OP.paddb, 1, 2, 0), 1 + 6);
});
