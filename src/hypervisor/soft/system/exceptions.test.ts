import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG, VECTOR } from '../architecture.ts';
import { CPU } from '../state.ts';
import { deliver } from './exceptions.ts';
import { TestMachine } from './test-machine.ts';

const INTERRUPT = 0x8e;
const TRAP = 0x8f;

/** Long mode with gate `vector` to 64-bit code at 9000, RSP0 at 7000 and IST1 at 6000. */
function longMachine(cpl: number, vector: number, access = INTERRUPT, ist = 0): TestMachine {
  const m = new TestMachine();
  m.enterLong(cpl);
  m.putGate(0x2000 + vector * 16, 0x28, 0x9000n, access, ist, true);
  m.view.setBigUint64(0x3004, 0x7000n, true);
  m.view.setBigUint64(0x3024, 0x6008n, true);
  m.state.rflags = FLAG.if | FLAG.cf | 2;
  return m;
}

const qword = (m: TestMachine, at: number) => m.view.getBigUint64(at, true);

test('long mode: an interrupt at privilege 0 aligns the stack and pushes five words', () => {
  const m = longMachine(0, 0x40);
  m.state.setReg(4, 0x8004n);
  assert.equal(deliver(m, { vector: 0x40, kind: 'interrupt' }), 'jump');
  assert.equal(m.state.rip, 0x9000n);
  assert.equal(m.state.reg(4), 0x8000n - 40n);
  const frame = [0, 8, 16, 24, 32].map((n) => qword(m, 0x8000 - 40 + n));
  assert.deepEqual(frame, [0x5000n, 8n, BigInt(FLAG.if | FLAG.cf | 2), 0x8004n, 0x10n]);
  assert.equal(m.state.rflags, FLAG.cf | 2);
  assert.equal(m.state.selector(1), 0x28);
  assert.equal(m.state.selector(2), 0x10, 'SS stays without a change of privilege');
});

test('long mode: from privilege 3 to the stack of the TSS, with a null SS, an error code and RF', () => {
  const m = longMachine(3, VECTOR.gp, TRAP);
  deliver(m, { vector: VECTOR.gp, errorCode: 0x18, kind: 'fault' });
  assert.equal(m.state.cpl, 0);
  assert.equal(m.state.reg(4), 0x7000n - 48n);
  assert.equal(qword(m, 0x7000 - 48), 0x18n);
  assert.equal(qword(m, 0x7000 - 24), BigInt(FLAG.if | FLAG.cf | FLAG.rf | 2));
  assert.equal(qword(m, 0x7000 - 32), 0x1bn);
  assert.equal(m.state.selector(2), 0);
  assert.equal(m.state.rflags, FLAG.if | FLAG.cf | 2, 'a trap gate leaves IF');
});

test('long mode: IST is taken without a change of privilege', () => {
  const m = longMachine(0, VECTOR.nmi, INTERRUPT, 1);
  deliver(m, { vector: VECTOR.nmi, kind: 'nmi' });
  assert.equal(m.state.reg(4), 0x6000n - 40n);
  assert.equal(m.state.u32(CPU.nmiBlocked), 1);
  m.run('48 cf');
  assert.equal(m.state.u32(CPU.nmiBlocked), 0);
  assert.equal(m.state.reg(4), 0x8000n);
  assert.equal(m.state.rip, 0x5000n);
});

test('a page fault sets CR2', () => {
  const m = longMachine(3, VECTOR.pf);
  m.state.setU64(CPU.faultAddress, 0xdead_b000n);
  deliver(m, { vector: VECTOR.pf, errorCode: 6, kind: 'fault' });
  assert.equal(m.state.u64(CPU.cr2), 0xdead_b000n);
  assert.equal(qword(m, 0x7000 - 48), 6n);
});

test('a missing gate becomes #NP, a fault of that a double fault, and one of that a shutdown', () => {
  const m = longMachine(0, VECTOR.np);
  m.putGate(0x2000 + 0x41 * 16, 0x28, 0x9000n, 0x0e, 0, true);
  deliver(m, { vector: 0x41, kind: 'interrupt' });
  assert.equal(qword(m, 0x8000 - 48), BigInt(0x41 * 8 + 2 + 1), 'IDT and EXT in the error code');

  // #GP has no gate, which is another #GP: double fault.
  const d = longMachine(0, VECTOR.df);
  assert.equal(deliver(d, { vector: VECTOR.gp, errorCode: 0, kind: 'fault' }), 'jump');
  assert.equal(d.state.rip, 0x9000n);
  assert.equal(qword(d, 0x8000 - 48), 0n);

  const t = longMachine(0, 0x50);
  assert.equal(deliver(t, { vector: VECTOR.gp, errorCode: 0, kind: 'fault' }), 'shutdown');
});

test('table 6-5: a page fault in the delivery of a contributory exception is delivered itself', () => {
  const m = longMachine(3, VECTOR.pf, INTERRUPT, 1);
  // The TSS names a stack that is not mapped.
  m.putGate(0x2000 + VECTOR.gp * 16, 0x28, 0x9000n, INTERRUPT, 0, true);
  m.view.setBigUint64(0x3004, 0x4000_0000n, true);
  deliver(m, { vector: VECTOR.gp, errorCode: 0, kind: 'fault' });
  assert.equal(m.state.u64(CPU.cr2), 0x4000_0000n - 8n);
  assert.equal(qword(m, 0x6000 - 48), 2n, 'a write by privilege 0');
  assert.equal(qword(m, 0x6000 - 32), 0x1bn, 'the interrupted code is still the program');
});

test('long mode: gates of the wrong kind, null and 32-bit code segments, non-canonical targets', () => {
  const errors: [selector: number, offset: bigint, access: number, error: bigint][] = [
    [0x28, 0x9000n, 0x8c, 0x43n * 8n + 3n],
    [0, 0x9000n, INTERRUPT, 1n],
    [8, 0x9000n, INTERRUPT, 9n],
    [0x10, 0x9000n, INTERRUPT, 0x11n],
    [0x28, 0x8000_0000_0000n, INTERRUPT, 1n],
    [0x100, 0x9000n, INTERRUPT, 0x101n],
  ];
  for (const [selector, offset, access, error] of errors) {
    const m = longMachine(0, VECTOR.gp);
    m.putGate(0x2000 + 0x43 * 16, selector, offset, access, 0, true);
    deliver(m, { vector: 0x43, kind: 'interrupt' });
    assert.equal(qword(m, 0x8000 - 48), error, `selector ${selector.toString(16)}`);
  }
});

test('INT n checks the privilege of the gate and returns behind itself', () => {
  const m = longMachine(3, 0x80);
  assert.equal(m.fault('cd 80'), `13:${(0x80 * 8 + 2).toString(16)}`);
  assert.equal(m.state.rip, 0x5000n);
  m.putGate(0x2000 + 0x80 * 16, 0x28, 0x9000n, 0xee, 0, true);
  assert.equal(m.run('cd 80'), 'jump');
  assert.equal(qword(m, 0x7000 - 40), 0x5002n);
  const b = longMachine(3, 3, 0xee);
  b.run('cc');
  assert.equal(qword(b, 0x7000 - 40), 0x5001n);
});

test('protected mode: through a 32-bit gate to an inner stack and back', () => {
  const m = new TestMachine();
  m.enterProtected(3);
  m.putGate(0x2000 + 0x20 * 8, 8, 0x9000n, INTERRUPT);
  m.view.setUint32(0x3004, 0x7000, true);
  m.view.setUint32(0x3008, 0x10, true);
  deliver(m, { vector: 0x20, kind: 'interrupt' });
  assert.equal(m.state.reg(4), 0x7000n - 20n);
  const frame = [0, 4, 8, 12, 16].map((n) => m.view.getUint32(0x7000 - 20 + n, true));
  assert.deepEqual(frame, [0x5000, 0x1b, 2, 0x8000, 0x23]);
  assert.equal(m.state.selector(2), 0x10);
  m.run('cf');
  assert.deepEqual([m.state.cpl, m.state.rip, m.state.reg(4)], [3, 0x5000n, 0x8000n]);
});

test('protected mode: a bad stack in the TSS is #TS', () => {
  const m = new TestMachine();
  m.enterProtected(3);
  m.putGate(0x2000 + 0x20 * 8, 8, 0x9000n, 0xee);
  m.view.setUint32(0x3008, 0x60, true);
  assert.equal(m.fault('cd 20'), '10:60');
  m.view.setUint32(0x3008, 0, true);
  assert.equal(m.fault('cd 20'), '10:0');
  assert.deepEqual([m.state.cpl, m.state.selector(2)], [3, 0x23]);
});

test('real mode: through the vector table, without error codes', () => {
  const m = new TestMachine();
  m.state.setSegment(1, 0x100, 0x1000n, 0xffff, 0x9b);
  m.state.rip = 0x20n;
  m.state.setReg(4, 0x1_8000n);
  m.state.rflags = FLAG.if | FLAG.tf | 2;
  m.view.setUint32(13 * 4, 0x0200_0034, true);
  deliver(m, { vector: VECTOR.gp, errorCode: 0, kind: 'fault' });
  assert.deepEqual([m.state.selector(1), m.state.segmentBase(1), m.state.rip], [0x200, 0x2000n, 0x34n]);
  assert.equal(m.state.reg(4), 0x1_7ffan);
  assert.deepEqual([m.view.getUint16(0x7ffa, true), m.view.getUint16(0x7ffc, true)], [0x20, 0x100]);
  assert.equal(m.state.rflags, 2);
  m.run('cf');
  assert.deepEqual([m.state.rip, m.state.selector(1)], [0x20n, 0x100]);
});
