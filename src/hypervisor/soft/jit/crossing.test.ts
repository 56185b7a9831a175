import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU } from '../state.ts';
import { TestEngine } from '../test-engine.ts';

const [RAX, RCX] = [0, 1];
const ROUNDS = 100;

/** A loop from the end of page 5 to the start of page 6, whose first instruction is in both, executed until it is compiled. */
function compiledLoop(): { m: TestEngine; table: number } {
  const m = new TestEngine(10);
  m.enterLong(0);
  for (let page = 0; page < 512; page++) m.view.setUint32(0x13000 + page * 8, (page << 12) | 7, true);
  m.view.setUint32(0x12000, 0x13007, true);
  m.state.tlb.flush();
  // add eax, 1; dec ecx; jnz to the add; int3
  m.code(0x5ffd, '05 01 00 00 00 ff c9 75 f7 cc');
  for (let i = 0; i < 10; i++) assert.equal(rounds(m), ROUNDS);
  return { m, table: 0x13000 };
}

/** EAX after ROUNDS of the loop, which starts with 0. */
function rounds(m: TestEngine): number {
  m.state.setReg(RAX, 0n);
  m.state.setReg(RCX, BigInt(ROUNDS));
  m.go(0x5ffd);
  assert.equal(m.state.reg(RCX), 0n);
  return Number(m.state.reg(RAX));
}

test('an instruction that crosses a page border is compiled, alone', () => {
  const { m } = compiledLoop();
  assert.equal(m.state.view.getFloat64(m.state.block + CPU.jitRegions, true), 2);
});

test('both ends of a compiled instruction that crosses a page border may be overwritten', () => {
  const { m } = compiledLoop();
  m.code(0x6000, '01 00');
  assert.equal(rounds(m), ROUNDS * 0x1_0001);
  m.code(0x5ffe, '03');
  assert.equal(rounds(m), ROUNDS * 0x1_0003);
});

test('either page of a compiled instruction that crosses their border may be mapped elsewhere', () => {
  const { m, table } = compiledLoop();
  const map = (page: number, to: number) => {
    m.view.setUint32(table + page * 8, (to << 12) | 7, true);
    m.state.tlb.invalidatePage(BigInt(page) << 12n);
  };
  m.code(0x7000, '02 00 ff c9 75 f7 cc');
  map(6, 7);
  assert.equal(rounds(m), ROUNDS * 0x2_0001);
  map(6, 6);
  assert.equal(rounds(m), ROUNDS);
  m.code(0x8ffd, '05 07 00');
  map(5, 8);
  assert.equal(rounds(m), ROUNDS * 7);
});

test('the second page of an instruction may go away while it is compiled', () => {
  const { m, table } = compiledLoop();
  m.view.setUint32(table + 6 * 8, 0, true);
  m.state.tlb.invalidatePage(0x6000n);
  m.state.setReg(RCX, BigInt(ROUNDS));
  m.go(0x5ffd);
  assert.deepEqual(
    m.faults.map(({ vector, rip, address }) => ({ vector, rip, address })),
    [{ vector: 14, rip: 0x5ffdn, address: 0x6000n }],
  );
});
