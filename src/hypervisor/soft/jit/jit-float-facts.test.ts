import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FunctionBuilder } from '../wasm/function-builder.ts';
import { JitFloatFacts } from './jit-float-facts.ts';

const facts = () => new JitFloatFacts(new FunctionBuilder([]), (operand) => (operand === 'a' ? 1 : 2));

test('what is noted of an operand holds for elements of that size, until its register is written', () => {
  const f = facts();
  f.note('a', 8, 1);
  f.note('a', 4, 0b1010);
  assert.equal(f.normal('a', 8), 1);
  assert.equal(f.normal('a', 4), 0b1010);
  assert.equal(f.normal('b', 8), 0);
  f.note('a', 8, 2);
  assert.equal(f.normal('a', 8), 3);
  f.written(1);
  assert.equal(f.normal('a', 8), 0);
  assert.equal(f.normal('a', 4), 0);
});

test('a copy of a register takes along what is known, of a register that is copied to itself too', () => {
  const f = facts();
  f.note('b', 8, 3);
  f.written(1, 2);
  assert.equal(f.normal('a', 8), 3);
  f.written(2, 2);
  assert.equal(f.normal('b', 8), 3);
});

test('nothing is known at the start of a block', () => {
  const f = facts();
  f.plain = true;
  f.note('b', 4, 15);
  f.forget();
  assert.equal(f.plain, false);
  assert.equal(f.normal('b', 4), 0);
});
