import assert from 'node:assert/strict';
import { CPU } from './state.ts';
import { engineTest, TestEngine } from './test-engine.ts';

const RAX = 0;
const RCX = 1;
const RSI = 6;
const RDI = 7;
const BUDGET = 1000;
/** Most that a block is beyond the budget. */
const BLOCK = 66;

function machine(cpl = 0): TestEngine {
  const m = new TestEngine();
  m.enterLong(cpl);
  return m;
}

/** Faults go on at `handler`; the test fails instead of hanging if that never ends. */
function handleAt(m: TestEngine, handler: bigint): void {
  m.onFault = () => {
    assert.ok(m.faults.length < 10 * BUDGET, 'the loop of faults is not interrupted');
    m.state.rip = handler;
    return 'jump';
  };
}

engineTest('the budget is charged for each instruction, over jumps taken and not taken', () => {
  const m = machine();
  // 5000: mov ecx, 10; 5005: dec ecx; nop; jne 5005; call 5020; int3; 5020: nop; ret
  m.code(0x5000, 'b9 0a 00 00 00 ff c9 90 75 fb e8 11 00 00 00 cc');
  m.code(0x5020, '90 c3');
  assert.equal(m.go(0x5000), 1 + 30 + 1 + 2 + 1);
});

engineTest('the budget is charged for what a fault stops, the instruction that faults included', () => {
  for (const [name, hex, used] of [
    ['load', '90 90 48 8b 04 25 00 00 00 40 90 90', 3],
    ['first', '48 8b 04 25 00 00 00 40 90 90', 1],
    ['undefined', '90 0f 0b', 2],
    ['system instruction within a block', '90 90 b9 ff ff 00 00 0f 32 90', 4],
    ['system instruction at a block end', '90 66 b8 ff 7f 8e d8', 3],
    ['fetch', 'eb 01 cc 90 e9 00 00 00 40', 3],
  ] as const) {
    const m = machine();
    m.code(0x5000, hex);
    assert.equal(m.go(0x5000), used + (name === 'fetch' ? 1 : 0), name);
    assert.equal(m.faults.length, 1, name);
  }
});

engineTest('the budget is charged for what an instruction within a block that leaves it stops', () => {
  const m = machine();
  m.code(0x5000, '90 90 0f a2 90 90 cc'); // cpuid
  m.onExecute = (insn) => {
    if (insn.length !== 2) return undefined;
    m.state.setU32(CPU.attention, -0x8000_0000);
    return 'next';
  };
  assert.equal(m.go(0x5000), 3);
  assert.equal(m.state.rip, 0x5004n);
  assert.equal(m.resume(), 3);
});

engineTest('the budget is charged for what was executed before code was overwritten', () => {
  const m = machine();
  m.code(0x5000, '90 90 c6 05 02 00 00 00 43 90 b0 11 90 cc');
  assert.equal(m.go(0x5000), 7);
  assert.equal(m.state.reg(RAX) & 0xffn, 0x43n);
});

engineTest('a repeated instruction is one, and 256 for each time it lets interrupts in', () => {
  for (const [hex, count, waits] of [
    ['90 90 f3 aa 90 cc', 100, 0],
    // Where that is depends on the count alone: not on whether there is a fast way, as there is none downwards.
    ['90 90 f3 aa 90 cc', 40_000, 2],
    ['fd 90 f3 aa 90 cc', 40_000, 2],
    ['90 90 f3 a6 90 cc', 40_000, 2],
    ['90 90 f3 aa 90 cc', 16_384, 0],
    ['90 90 f3 aa 90 cc', 16_385, 1],
  ] as const) {
    const m = machine();
    m.code(0x5000, hex);
    m.state.setReg(RCX, BigInt(count));
    m.state.setReg(RSI, 0x40000n);
    m.state.setReg(RDI, 0x50000n);
    m.state.setU32(CPU.eflags, 2);
    assert.equal(m.go(0x5000), 5 + waits * 256, hex);
    assert.equal(m.state.reg(RCX), 0n);
  }
});

engineTest('a huge repeat count lets interrupts in, and goes on', () => {
  const m = machine();
  m.code(0x5000, 'f3 a6 cc');
  m.state.setReg(RCX, 0xffff_ffff_ffff_ffffn);
  m.state.setReg(RSI, 0x40000n);
  m.state.setReg(RDI, 0x40000n);
  assert.equal(m.go(0x5000, 1), 256);
  assert.equal(m.state.rip, 0x5000n);
  assert.equal(m.state.reg(RCX), 0xffff_ffff_ffff_c000n);
});

engineTest('the same program takes the same budget', () => {
  const used = () => {
    const m = machine();
    m.code(0x5000, 'b9 0a 00 00 00 ff c9 90 75 fb 0f a2 f3 aa 48 8b 04 25 00 00 00 40');
    return m.go(0x5000);
  };
  assert.equal(used(), used());
});

for (const [name, hex] of [
  ['an undefined instruction', '0f 0b'],
  ['a system instruction', 'b9 ff ff 00 00 0f 32'],
  ['a load', '48 8b 04 25 00 00 00 40'],
] as const) {
  engineTest(`a handler that faults itself, by ${name}, is interrupted when the budget is used up`, () => {
    const m = machine();
    m.code(0x5000, hex);
    handleAt(m, 0x5000n);
    const used = m.go(0x5000, BUDGET);
    assert.ok(used > BUDGET && used <= BUDGET + BLOCK, String(used));
  });
}

engineTest('a handler that cannot be fetched is interrupted when the budget is used up, and by attention', () => {
  for (const handler of [0x4000_0000n, 0x8000_0000_0000n]) {
    const m = machine();
    m.code(0x5000, '90 0f 0b');
    handleAt(m, handler);
    const used = m.go(0x5000, BUDGET);
    assert.ok(used > BUDGET && used <= BUDGET + BLOCK, String(used));
    m.faults.length = 0;
    m.onFault = () => {
      assert.ok(m.faults.length < 10);
      if (m.faults.length === 5) m.state.setU32(CPU.attention, -0x8000_0000);
      m.state.rip = handler;
      return 'jump';
    };
    m.go(0x5000);
    assert.equal(m.faults.length, 5);
    assert.equal(m.state.rip, handler);
  }
});

engineTest('a direct jump far from its page arrives', () => {
  const m = machine();
  // High in the page, so that offset + displacement does not fit 32 bits.
  for (const [hex, target] of [
    ['e9 ff ff ff 7f', 0x5f00n + 5n + 0x7fff_ffffn],
    ['0f 84 ff ff ff 7f', 0x5f00n + 6n + 0x7fff_ffffn],
    ['e8 ff ff ff 7f', 0x5f00n + 5n + 0x7fff_ffffn],
  ] as const) {
    m.code(0x5f00, hex);
    m.state.rflags = 0x42;
    m.state.setReg(4, 0x8000n);
    m.faults.length = 0;
    m.go(0x5f00);
    assert.deepEqual(
      m.faults.map(({ address }) => address),
      [target],
      hex,
    );
  }
  m.code(0x5f00, '0f 85 ff ff ff 7f cc'); // not taken
  m.faults.length = 0;
  assert.equal(m.go(0x5f00), 2);
  assert.equal(m.state.rip, 0x5f06n);
  assert.deepEqual(m.faults, []);
});

engineTest('a fault in the middle of a block has the address of its instruction, and the state before it', () => {
  const m = machine(3);
  m.code(0x5000, 'ff c0 ff c0 48 01 04 25 fc ff 1f 00 ff c0 cc'); // add [1ffffc], rax: the second page is missing
  m.go(0x5000);
  assert.deepEqual(m.faults, [{ vector: 14, error: 6, rip: 0x5004n, address: 0x20_0000n }]);
  assert.equal(m.state.reg(RAX), 2n);
  assert.equal(m.view.getUint32(0x1f_fffc, true), 0);
});

engineTest('a page of prefixes faults wherever it is entered', () => {
  const m = machine();
  m.ram.fill(0x66, 0x6000, 0x8000);
  for (let at = 0x6000; at < 0x7000; at++) {
    m.faults.length = 0;
    m.go(at);
    assert.deepEqual(
      m.faults.map(({ vector }) => vector),
      [13],
    );
  }
});
