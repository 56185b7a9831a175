import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DS, FLAG, SS } from '../architecture.ts';
import { MODE } from '../modes.ts';
import { CPU } from '../state.ts';
import { TestMachine } from './test-machine.ts';

function protectedMachine(cpl = 0): TestMachine {
  const m = new TestMachine();
  m.enterProtected(cpl);
  return m;
}

/** MOV sreg, AX with a selector. */
function load(m: TestMachine, segment: number, selector: number): string | undefined {
  m.state.setReg(0, BigInt(selector));
  return m.fault(`8e ${(0xc0 | (segment << 3)).toString(16)}`);
}

test('loads of data segments check type, privilege, presence and the limit of the table', () => {
  const m = protectedMachine();
  assert.equal(load(m, DS, 0x68), undefined);
  assert.deepEqual([m.state.segmentBase(DS), m.state.segmentLimit(DS)], [0x4000n, 0xfff]);
  assert.equal(m.ram[0x1000 + 0x68 + 5], 0x93, 'the accessed bit is set in the table');
  assert.equal(load(m, DS, 0x48), '11:48');
  assert.equal(load(m, DS, 0x50), '13:50', 'execute-only');
  assert.equal(load(m, DS, 0x30), '13:30', 'a TSS');
  assert.equal(load(m, DS, 0x80), '13:80', 'beyond the table');
  assert.equal(load(m, DS, 0x14), '13:14', 'no LDT');
  assert.equal(load(m, DS, 0x13), '13:10', 'RPL 3, DPL 0');
  assert.equal(load(m, DS, 0x60), undefined, 'read-only data');
  assert.equal(load(m, DS, 3), undefined, 'null');
  assert.equal(m.state.segmentAttributes(DS), 0);
});

test('loads of SS need a writable segment of exactly the current privilege', () => {
  const m = protectedMachine();
  assert.equal(load(m, SS, 0), '13:0');
  assert.equal(load(m, SS, 0x60), '13:60');
  assert.equal(load(m, SS, 0x20), '13:20');
  assert.equal(load(m, SS, 0x48), '12:48');
  assert.equal(load(m, SS, 0x10), undefined);
  assert.equal(m.state.u32(CPU.interruptShadow), 1);
});

test('64-bit mode takes a null SS at privilege 0 only', () => {
  const m = new TestMachine();
  m.enterLong(0);
  assert.equal(load(m, SS, 0), undefined);
  m.enterLong(3);
  assert.equal(load(m, SS, 0), '13:0');
});

test('real mode loads the base and leaves the limit', () => {
  const m = new TestMachine();
  m.state.setSegment(DS, 0, 0n, 0xffff_ffff, 0xc093);
  assert.equal(load(m, DS, 0x1234), undefined);
  assert.deepEqual([m.state.segmentBase(DS), m.state.segmentLimit(DS)], [0x12340n, 0xffff_ffff]);
  assert.equal(m.fault('0f 00 c0'), '6:0', 'SLDT');
});

test('LTR marks the TSS busy and refuses one that is', () => {
  const m = new TestMachine();
  m.enterLong(0);
  m.state.setReg(0, 0x30n);
  assert.equal(m.fault('0f 00 d8'), undefined);
  assert.equal(m.ram[0x1035], 0x8b);
  assert.equal(m.state.segmentBase(7), 0x3000n);
  assert.equal(m.fault('0f 00 d8'), '13:30');
  m.state.setReg(0, 0n);
  assert.equal(m.fault('0f 00 d8'), '13:0');
  assert.equal(m.fault('0f 00 d0'), undefined, 'LLDT of a null selector');
  m.enterLong(3);
  assert.equal(m.fault('0f 00 d8'), '13:0');
});

test('LGDT and SGDT, with 10 bytes in 64-bit mode and a base of 24 bits with 16-bit operands', () => {
  const m = new TestMachine();
  m.enterLong(0);
  m.view.setUint16(0x4000, 0x17, true);
  m.view.setBigUint64(0x4002, 0xffff_8000_0000_1000n, true);
  m.state.setReg(0, 0x4000n);
  m.run('0f 01 10');
  assert.equal(m.state.u64(CPU.gdtrBase), 0xffff_8000_0000_1000n);
  m.state.setReg(0, 0x4100n);
  m.run('0f 01 00');
  assert.deepEqual(m.ram.slice(0x4100, 0x410a), m.ram.slice(0x4000, 0x400a));
  m.view.setBigUint64(0x4002, 0x8000_0000_0000n, true);
  m.state.setReg(0, 0x4000n);
  assert.equal(m.fault('0f 01 10'), '13:0', 'not canonical');
  const p = protectedMachine();
  p.view.setUint32(0x4002, 0x1234_5678, true);
  p.state.setReg(0, 0x4000n);
  p.run('66 0f 01 18');
  assert.equal(p.state.u64(CPU.idtrBase), 0x34_5678n);
});

test('LAR, LSL and VERW tell about visible segments only', () => {
  const m = protectedMachine(3);
  const zf = () => (m.state.rflags & FLAG.zf) !== 0;
  m.state.setReg(1, 0x1bn);
  m.run('0f 02 c1');
  assert.ok(zf());
  assert.equal(m.state.reg(0), 0x00cf_fa00n);
  m.run('0f 03 c1');
  assert.equal(m.state.reg(0), 0xffff_ffffn);
  m.state.setReg(1, 0x8n);
  m.run('0f 03 c1');
  assert.ok(!zf());
  m.state.setReg(1, 0x23n);
  m.run('0f 00 e9');
  assert.ok(zf());
  m.state.setReg(1, 0x1bn);
  m.run('0f 00 e9');
  assert.ok(!zf(), 'code is not writable');
});

test('POP to a segment moves the stack only if the load succeeds', () => {
  const m = protectedMachine();
  m.view.setUint32(0x8000, 0x48, true);
  assert.equal(m.fault('1f'), '11:48');
  assert.equal(m.state.reg(4), 0x8000n);
  m.view.setUint32(0x8000, 0x10, true);
  m.run('1f');
  assert.equal(m.state.reg(4), 0x8004n);
  m.run('0e');
  assert.equal(m.view.getUint32(0x8000, true), 8);
});

test('LES loads both parts or none', () => {
  const m = protectedMachine();
  m.state.setReg(3, 0x4000n);
  m.view.setUint32(0x4000, 0x1122_3344, true);
  m.view.setUint16(0x4004, 0x48, true);
  assert.equal(m.fault('c4 03'), '11:48');
  assert.equal(m.state.reg(0), 0n);
  m.view.setUint16(0x4004, 0x68, true);
  m.run('c4 03');
  assert.deepEqual([m.state.reg(0), m.state.selector(0)], [0x1122_3344n, 0x68]);
});

test('code is flat if no access to CS, SS, DS and ES can fail', () => {
  const flat = 0xffff_ffff;
  const checked = (n: number, base: bigint, limit: number, attributes: number) => {
    const m = protectedMachine();
    m.state.setSegment(n, 0x10, base, limit, attributes);
    m.state.updateMode();
    return (m.state.u32(CPU.mode) & MODE.checked) !== 0;
  };
  for (const n of [0, 2, 3]) {
    assert.equal(checked(n, 0n, flat, 0xc093), false);
    assert.equal(checked(n, 0n, flat, 0xc0f2), false, 'for privilege 3, not accessed');
    assert.equal(checked(n, 1n, flat, 0xc093), true, 'base');
    assert.equal(checked(n, 0n, flat - 1, 0xc093), true, 'limit');
    assert.equal(checked(n, 0n, flat, 0xc091), true, 'read-only');
    assert.equal(checked(n, 0n, flat, 0xc097), true, 'expand-down');
    assert.equal(checked(n, 0n, flat, 0xc09b), true, 'code');
    assert.equal(checked(n, 0n, 0, 0), true, 'null');
  }
  assert.equal(checked(2, 0n, flat, 0x8093), true, 'a stack pointer of 16 bits');
  assert.equal(checked(0, 0n, flat, 0x8093), false, 'the size matters to the stack only');
  assert.equal(checked(1, 0n, flat, 0xc099), false, 'code that cannot be read: reads through CS are always checked');
  assert.equal(checked(1, 0x10000n, flat, 0xc09b), true);
  assert.equal(checked(1, 0n, 0xffff, 0x409b), true);
  for (const n of [4, 5]) assert.equal(checked(n, 0n, 0, 0), false, 'FS and GS are always checked');
});
