/** What the engine does for time that is instructions: exact counts, and devices accessed by instructions that are alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OP } from './decode/opcodes.ts';
import { TestEngine } from './test-engine.ts';

const RCX = 1;
const RSI = 6;
const RDI = 7;
const NEVER = Number.POSITIVE_INFINITY;
/** Where there is no RAM. */
const DEVICE = 0x18_0000;
const TIMED: readonly number[] = [OP.rdtsc, OP.rdtscp, OP.in, OP.out, OP.wbinvd, OP.wrmsr];
const REP_MOVSB = 'f3 a4';

interface Machine {
  readonly m: TestEngine;
  /** How often an instruction was to be executed alone. */
  asked: number;
}

function machine(jitThreshold: number, exactTime = true): Machine {
  const result = { asked: 0 } as { m: TestEngine; asked: number };
  const onNeedsAlone = () => void result.asked++;
  result.m = new TestEngine(jitThreshold, { exactTime, onNeedsAlone });
  result.m.setRegions([{ start: 0, size: DEVICE }]);
  result.m.enterLong();
  return result;
}

for (const [how, threshold] of [
  ['interpreted', NEVER],
  ['compiled', 0],
] as const) {
  test(`what depends on time knows how many instructions came before it, ${how}`, () => {
    const { m } = machine(threshold);
    const counts: number[] = [];
    m.onExecute = ({ op }) => {
      if (TIMED.includes(op)) counts.push(m.engine.executed);
      return undefined;
    };
    // nop; rdtsc; nop; nop; in al, 5; out 5, al; nop; wbinvd (which ends its block); jmp on; rdtscp; nop;
    // mov ecx, 838h; wrmsr, which this machine's APIC refuses
    m.code(0x5000, '90 0f 31 90 90 e4 05 e6 05 90 0f 09 eb 00 0f 01 f9 90 b9 38 08 00 00 0f 30 cc');
    m.go(0x5000);
    assert.deepEqual(counts, [1, 4, 5, 7, 9, 12]);
    assert.equal(m.engine.executed, 0, 'nothing is executed now');
  });

  for (const [name, code, before, access] of [
    ['a load', '90 8b 04 25 00 00 18 00 90 cc', 1, 'r 4 180000'],
    ['a store', '90 90 88 04 25 00 00 18 00 cc', 2, 'w 1 180000 0'],
    ['a store of 16 bytes', '90 0f 11 04 25 00 00 18 00 cc', 1, 'w 8 180000 0,w 8 180008 0'],
    ['a read-modify-write', '90 ff 04 25 00 00 18 00 cc', 1, 'r 4 180000,w 4 180000 1'],
    ['a push', '90 bc 08 00 18 00 50 cc', 2, 'w 8 180000 0'],
  ] as const) {
    test(`${name} that reaches a device is executed alone, ${how}`, () => {
      const machineOf = machine(threshold);
      const { m } = machineOf;
      m.code(0x5000, code);
      assert.equal(m.go(0x5000), before);
      assert.deepEqual([machineOf.asked, m.mmio], [1, []]);
      const { rip } = m.state;
      m.state.alone = true;
      m.state.updateMode();
      assert.equal(m.resume(), 1);
      assert.deepEqual([machineOf.asked, m.mmio.join()], [1, access]);
      assert.ok(m.state.rip > rip && m.state.rip <= 0x500bn, 'it was executed, and nothing else');
    });
  }

  test(`a repeated instruction stops where the device begins, ${how}`, () => {
    const machineOf = machine(threshold);
    const { m } = machineOf;
    m.code(0x5000, `90 ${REP_MOVSB} cc`);
    m.state.setReg(RCX, 20n);
    m.state.setReg(RSI, 0x4_0000n);
    m.state.setReg(RDI, BigInt(DEVICE - 12));
    assert.equal(m.go(0x5000), 1);
    assert.deepEqual([m.state.rip, m.state.reg(RCX), machineOf.asked, m.mmio.length], [0x5001n, 8n, 1, 0]);
    m.state.alone = true;
    m.state.updateMode();
    assert.equal(m.resume(), 1);
    assert.deepEqual([m.state.rip, m.state.reg(RCX), m.mmio.length], [0x5003n, 0n, 8]);
  });

  test(`without exact time a device is accessed in the middle of a block, ${how}`, () => {
    const machineOf = machine(threshold, false);
    machineOf.m.code(0x5000, '90 8b 04 25 00 00 18 00 90 cc');
    assert.equal(machineOf.m.go(0x5000), 4);
    assert.deepEqual([machineOf.asked, machineOf.m.mmio], [0, ['r 4 180000']]);
  });
}
