import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WasmCode } from '../../../base/wasm-code.ts';
import { CPU } from '../state.ts';
import { TestEngine } from '../test-engine.ts';
import type { KeptContents } from './kept-code.ts';
import { decodeKeptCode, encodeKeptCode } from './kept-code-file.ts';

const CODE = 0x5000;
const THRESHOLD = 500;
const TIMES = 2000;
/** Instructions after which the JIT looks at what waits to be compiled. */
const SLICE = 1000;
/** Adds ESI to EBX, ECX times; calls a function in the next page each time. */
const LOOP = '01 f3 e8 f9 0f 00 00 ff c9 75 f5 cc'; // add ebx, esi; call 0x6000; dec ecx; jnz 0x5000; int3
const FUNCTION = '8d 04 1b c3'; // lea eax, [rbx + rbx]; ret

/** Code is WebAssembly once more, so that a test need not wait until V8 optimizes something. */
const recompiling: WasmCode = {
  save: () => Uint8Array.of(1),
  optimized: (functions) => functions.length,
  load: (bytes) => new WebAssembly.Module(bytes),
};

interface Outcome {
  readonly rbx: bigint;
  readonly compiled: number;
  readonly kept: number;
  readonly contents: KeptContents | undefined;
}

/** A run of the loop by a new vCPU that has what others have kept. */
function run(contents: KeptContents | undefined, { loop = LOOP, code = CODE, wasm = recompiling } = {}): Outcome {
  const m = new TestEngine(THRESHOLD, { kept: { wasm, contents } });
  m.enterLong(0);
  m.code(code, loop);
  m.code(code + 0x1000, FUNCTION);
  m.state.setReg(3, 0n);
  m.state.setReg(6, 3n);
  m.state.setReg(1, BigInt(TIMES));
  m.go(code, SLICE);
  while (m.state.reg(1) > 0n) m.resume(SLICE);
  const counter = (at: number) => m.state.view.getFloat64(m.state.block + at, true);
  const { kept } = m.engine.code.jit!;
  return { rbx: m.state.reg(3), compiled: counter(CPU.jitCompiled), kept: counter(CPU.jitKept), contents: kept };
}

const first = run(undefined);

test('the first run compiles, and has something to keep', () => {
  assert.equal(first.rbx, BigInt(3 * TIMES));
  assert.ok(first.compiled > 0);
  assert.equal(first.kept, 0);
  assert.ok(first.contents!.modules.length > 0);
});

test('the same code in another run compiles nothing, wherever it is, and has nothing new to keep', () => {
  for (const code of [CODE, CODE + 0x8000]) {
    const second = run(first.contents, { code });
    assert.equal(second.rbx, BigInt(3 * TIMES));
    assert.equal(second.compiled, 0);
    assert.ok(second.kept > 0);
    assert.equal(second.contents, undefined);
  }
});

test('other code is compiled, however alike it is', () => {
  const other = LOOP.replace('01 f3', '29 f3'); // sub
  const second = run(first.contents, { loop: other });
  assert.equal(BigInt.asIntN(32, second.rbx), BigInt(-3 * TIMES));
  assert.ok(second.compiled > 0);
  // Both are kept from now on.
  for (const [loop, rbx] of [
    [LOOP, 3 * TIMES],
    [other, -3 * TIMES],
  ] as const) {
    const third = run(second.contents, { loop });
    assert.equal(BigInt.asIntN(32, third.rbx), BigInt(rbx));
    assert.equal(third.compiled, 0);
  }
});

test('code that is overwritten while a kept region runs is left', () => {
  const m = new TestEngine(THRESHOLD, { kept: { wasm: recompiling, contents: first.contents } });
  m.enterLong(0);
  m.code(CODE, LOOP);
  m.code(CODE + 0x1000, FUNCTION);
  m.state.setReg(3, 0n);
  m.state.setReg(6, 3n);
  m.state.setReg(1, BigInt(TIMES));
  m.go(CODE, SLICE);
  assert.ok(m.state.view.getFloat64(m.state.block + CPU.jitKept, true) > 0);
  m.code(CODE + 0x1000, '31 db c3 90'); // xor ebx, ebx; ret
  while (m.state.reg(1) > 0n) m.resume(SLICE);
  assert.equal(m.state.reg(3), 0n);
});

test('what this V8 cannot use is compiled again', () => {
  const second = run(first.contents, { wasm: { ...recompiling, load: () => undefined } });
  assert.equal(second.rbx, BigInt(3 * TIMES));
  assert.equal(second.kept, 0);
  assert.ok(second.compiled > 0);
});

test('code that V8 has not optimized is not kept', () => {
  assert.equal(run(undefined, { wasm: { ...recompiling, optimized: () => 0 } }).contents, undefined);
});

const file = Uint8Array.from(encodeKeptCode('1', first.contents!).flatMap((part) => [...part]));

test('a file holds what was kept', () => {
  const contents = decodeKeptCode('1', file);
  assert.deepEqual(contents, first.contents);
  assert.equal(run(contents).compiled, 0);
  // Wherever in memory it is.
  const moved = new Uint8Array(file.length + 1).subarray(1);
  moved.set(file);
  assert.deepEqual(decodeKeptCode('1', moved), first.contents);
});

test('a file of another version holds nothing, nor does one that is cut off or longer', () => {
  assert.equal(decodeKeptCode('2', file), undefined);
  for (let length = 0; length < file.length; length += 7) {
    assert.equal(decodeKeptCode('1', file.slice(0, length)), undefined, `${length}`);
  }
  assert.equal(decodeKeptCode('1', Uint8Array.from([...file, 0])), undefined);
});
