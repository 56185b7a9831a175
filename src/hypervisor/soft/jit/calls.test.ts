import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU } from '../state.ts';
import { TestEngine } from '../test-engine.ts';

const [RAX, RCX, RDX] = [0, 1, 2];
const ROUNDS = 100;
/** Where the pages are mapped: as a program's, and as a kernel's. */
const LOWER = 0n;
const UPPER = 0xffff_ffff_8000_0000n;
const LOOP = 0x5000n;
/** Another one, which calls the same function. */
const OTHER_LOOP = 0x5800n;

/**
 * A loop in page 5 that calls a function in page 6, `function_` in hexadecimal, executed until it is compiled, to one region
 * unless an instruction ends one.
 */
function compiledLoop(function_: string, regions = 1, half = LOWER): { m: TestEngine; table: number } {
  const m = new TestEngine(10);
  m.enterLong(0);
  for (let page = 0; page < 512; page++) m.view.setUint32(0x13000 + page * 8, (page << 12) | 0x107, true);
  m.view.setUint32(0x12000, 0x13007, true);
  m.view.setUint32(0x10ff8, 0x11007, true);
  m.view.setUint32(0x11ff0, 0x12007, true);
  m.state.tlb.flush();
  // call 6000; mov dl, 0x11; dec ecx; jnz to the call; int3
  m.code(0x5000, 'e8 fb 0f 00 00 b2 11 ff c9 75 f5 cc');
  m.code(0x6000, function_);
  for (let i = 0; i < 10; i++) rounds(m, half);
  assert.equal(m.state.view.getFloat64(m.state.block + CPU.jitRegions, true), regions);
  return { m, table: 0x13000 };
}

/** EAX after ROUNDS of the loop at `loop`, which starts with 0. */
function rounds(m: TestEngine, half = LOWER, loop = LOOP): number {
  m.state.setReg(RAX, 0n);
  m.state.setReg(RCX, BigInt(ROUNDS));
  m.state.setReg(4, 0x9000n);
  m.go(half + loop);
  assert.equal(m.state.reg(4), 0x9000n);
  assert.equal(m.state.reg(RCX), 0n);
  return Number(m.state.reg(RAX));
}

test('a function of another page is called and left within the region', () => {
  const { m } = compiledLoop('83 c0 01 c3');
  assert.equal(rounds(m), ROUNDS);
});

test('so is one of the upper half of addresses', () => {
  const { m } = compiledLoop('83 c0 01 c3', 1, UPPER);
  assert.equal(rounds(m, UPPER), ROUNDS);
});

test('a function in another page that is overwritten is not executed any more', () => {
  const { m } = compiledLoop('83 c0 01 c3');
  m.code(0x6000, '83 c0 02 c3');
  assert.equal(rounds(m), 2 * ROUNDS);
});

test('a page of a region that is mapped elsewhere is not executed there any more', () => {
  const { m, table } = compiledLoop('83 c0 01 c3');
  m.code(0x7000, '83 c0 05 c3');
  m.view.setUint32(table + 6 * 8, 0x7007, true);
  m.state.tlb.invalidatePage(0x6000n);
  assert.equal(rounds(m), 5 * ROUNDS);
  m.view.setUint32(table + 6 * 8, 0x6007, true);
  m.state.tlb.invalidatePage(0x6000n);
  assert.equal(rounds(m), ROUNDS);
});

test('a function that maps itself elsewhere goes on there', () => {
  // add eax, 1; mov byte [0x13031], 0x70: the second byte of page 6's entry; invlpg [0x6000]; ret
  const { m, table } = compiledLoop('83 c0 01 c6 04 25 31 30 01 00 60 0f 01 3c 25 00 60 00 00 c3', 2);
  m.ram.copyWithin(0x7000, 0x6000, 0x6020);
  m.code(0x7013, '83 c0 07 c3');
  m.code(0x600a, '70');
  // From page 6 it goes on in 7, where 7 more are added; from 7, the next time, in 6, where nothing is.
  for (let i = 0; i < 3; i++) assert.equal(rounds(m), (ROUNDS / 2) * (8 + 1));
  m.view.setUint32(table + 6 * 8, 0x7007, true);
  m.state.tlb.invalidatePage(0x6000n);
  assert.equal(rounds(m), (ROUNDS / 2) * (8 + 1));
});

test('a function that overwrites the code it returns to returns to what it wrote', () => {
  // inc eax; mov [0x5006], al: the value for DL; ret
  const { m } = compiledLoop('ff c0 88 04 25 06 50 00 00 c3');
  assert.equal(rounds(m), ROUNDS);
  assert.equal(m.state.reg(RDX) & 0xffn, BigInt(ROUNDS));
});

test('a function that changes its return address returns there', () => {
  // inc eax; cmp ecx, edi; jne to the ret; add qword [rsp], 2: behind the mov; ret
  const { m } = compiledLoop('ff c0 39 f9 75 05 48 83 04 24 02 c3');
  m.state.setReg(7, 1n);
  m.state.setReg(RDX, 0n);
  m.code(0x5006, '22');
  for (let i = 0; i < 10; i++) rounds(m);
  m.state.setReg(RCX, 1n);
  m.state.setReg(RDX, 0x33n);
  m.go(0x5000);
  assert.equal(m.state.reg(RDX), 0x33n);
});

test('calls nested deeper than what is remembered of them come back', () => {
  // A function that calls itself EBX times. inc eax; dec ebx; js +5; call 6000; ret
  const { m } = compiledLoop('ff c0 ff cb 78 05 e8 f5 ff ff ff c3');
  m.state.setReg(3, 100n);
  m.state.setReg(RAX, 0n);
  m.state.setReg(RCX, 1n);
  m.go(0x5000);
  assert.equal(m.state.reg(RAX), 101n);
});

/** The same with two loops: the region of the second one has a copy of the function. */
function twoLoops(): { m: TestEngine; table: number } {
  const { m, table } = compiledLoop('83 c0 01 c3');
  // call 6000; mov dl, 0x22; dec ecx; jnz to the call; int3
  m.code(0x5800, 'e8 fb 07 00 00 b2 22 ff c9 75 f5 cc');
  for (let i = 0; i < 10; i++) rounds(m, LOWER, OTHER_LOOP);
  assert.equal(m.state.view.getFloat64(m.state.block + CPU.jitRegions, true), 2);
  return { m, table };
}

test('a function of two regions comes back to the one that it was called from', () => {
  const { m } = twoLoops();
  for (const [loop, mark] of [
    [LOOP, 0x11n],
    [OTHER_LOOP, 0x22n],
    [LOOP, 0x11n],
  ] as const) {
    assert.equal(rounds(m, LOWER, loop), ROUNDS);
    assert.equal(m.state.reg(RDX) & 0xffn, mark);
  }
});

test('a function of two regions that is overwritten is executed by none of them any more', () => {
  const { m } = twoLoops();
  m.code(0x6000, '83 c0 02 c3');
  assert.equal(m.state.view.getFloat64(m.state.block + CPU.jitRegions, true), 0);
  for (const loop of [OTHER_LOOP, LOOP]) assert.equal(rounds(m, LOWER, loop), 2 * ROUNDS);
});

test('a copy of a function whose page is mapped elsewhere is not executed any more', () => {
  const { m, table } = twoLoops();
  m.code(0x7000, '83 c0 05 c3');
  m.view.setUint32(table + 6 * 8, 0x7107, true);
  m.state.tlb.invalidatePage(0x6000n);
  for (const loop of [OTHER_LOOP, LOOP]) assert.equal(rounds(m, LOWER, loop), 5 * ROUNDS);
});
