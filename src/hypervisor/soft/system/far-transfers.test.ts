import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR0, FLAG } from '../architecture.ts';
import { CPU } from '../state.ts';
import { TestMachine } from './test-machine.ts';

function protectedMachine(cpl = 0): TestMachine {
  const m = new TestMachine();
  m.enterProtected(cpl);
  return m;
}

test('from real mode over protected mode to 64-bit code and back to protected mode', () => {
  const m = new TestMachine();
  m.putGdt();
  const { state } = m;
  state.setSegment(1, 0, 0n, 0xffff, 0x9b);
  state.rip = 0x500n;
  state.updateMode();
  state.setReg(0, 0x11n);
  m.run('0f 22 c0');
  m.run('66 ea 00 60 00 00 08 00');
  assert.deepEqual([state.rip, state.selector(1), state.u32(CPU.mode) & 3], [0x6000n, 8, 1]);

  m.view.setUint32(0x10000, 0x11007, true);
  m.view.setUint32(0x11000, 0x12007, true);
  m.view.setUint32(0x12000, 0xe7, true);
  state.setReg(0, 0x20n);
  m.run('0f 22 e0');
  state.setReg(0, 0x10000n);
  m.run('0f 22 d8');
  state.setReg(0, 0x100n);
  state.setReg(1, 0xc000_0080n);
  state.setReg(2, 0n);
  m.run('0f 30');
  state.setReg(0, 0x8000_0011n);
  m.run('0f 22 c0');
  assert.ok(state.isLongMode);
  assert.ok(!state.is64BitCode, 'compatibility mode until CS is loaded');
  m.run('ea 00 70 00 00 28 00');
  assert.ok(state.is64BitCode);

  state.setReg(0, 0x11n);
  assert.equal(m.fault('0f 22 c0'), '13:0', 'paging cannot end in 64-bit code');
  state.setReg(4, 0x8000n);
  m.view.setUint32(0x8000, 0x9000, true);
  m.view.setUint32(0x8004, 8, true);
  m.run('cb');
  assert.ok(!state.is64BitCode);
  m.run('0f 22 c0');
  assert.ok(!state.isLongMode);
  assert.equal(state.efer, 0x100);
});

test('far jumps and calls check the target', () => {
  const m = protectedMachine();
  assert.equal(m.fault('ea 00 00 00 00 00 00'), '13:0');
  assert.equal(m.fault('ea 00 00 00 00 10 00'), '13:10', 'data');
  assert.equal(m.fault('ea 00 00 00 00 18 00'), '13:18', 'other privilege');
  assert.equal(m.fault('ea 00 00 00 00 80 00'), '13:80');
  m.run('9a 44 33 00 00 08 00');
  assert.equal(m.state.rip, 0x3344n);
  assert.deepEqual([m.view.getUint32(0x7ff8, true), m.view.getUint32(0x7ffc, true)], [0x5007, 8]);
  m.run('ca 08 00');
  assert.deepEqual([m.state.rip, m.state.reg(4)], [0x5007n, 0x8008n]);
  const u = protectedMachine(3);
  u.run('ea 00 00 00 00 58 00');
  assert.equal(u.state.selector(1), 0x5b, 'conforming code keeps the privilege');
  assert.equal(u.state.cpl, 3);
});

test('a call gate copies parameters to the inner stack, and RETF goes back', () => {
  const m = protectedMachine(3);
  m.putGate(0x1048, 8, 0x9000n, 0xec, 2);
  m.view.setUint32(0x3004, 0x7000, true);
  m.view.setUint32(0x3008, 0x10, true);
  m.view.setUint32(0x8000, 111, true);
  m.view.setUint32(0x8004, 222, true);
  m.run('9a 00 00 00 00 48 00');
  assert.deepEqual([m.state.cpl, m.state.rip, m.state.reg(4)], [0, 0x9000n, 0x7000n - 24n]);
  const frame = [0, 4, 8, 12, 16, 20].map((n) => m.view.getUint32(0x7000 - 24 + n, true));
  assert.deepEqual(frame, [0x5007, 0x1b, 111, 222, 0x8000, 0x23]);
  m.run('ca 08 00');
  assert.deepEqual([m.state.cpl, m.state.rip, m.state.reg(4)], [3, 0x5007n, 0x8008n]);
  m.putGate(0x1048, 8, 0x9000n, 0x8c);
  assert.equal(m.fault('9a 00 00 00 00 48 00'), '13:48', 'gate of privilege 0');
});

test('IRET in long mode: to 64-bit and compatibility code, and bad frames', () => {
  const m = new TestMachine();
  const frame = (rip: bigint, cs: bigint, ss: bigint) => {
    m.enterLong(0);
    m.state.setReg(4, 0x7000n);
    [rip, cs, BigInt(FLAG.if | FLAG.rf | 2), 0x1234_5678_9abcn, ss].forEach((value, n) => {
      m.view.setBigUint64(0x7000 + n * 8, value, true);
    });
  };
  frame(0x7fff_ffff_f000n, 0x43n, 0x23n);
  m.run('48 cf');
  assert.deepEqual([m.state.cpl, m.state.rip, m.state.reg(4)], [3, 0x7fff_ffff_f000n, 0x1234_5678_9abcn]);
  assert.equal(m.state.rflags, FLAG.if | FLAG.rf | 2);
  assert.equal(m.state.segmentAttributes(3), 0, 'a data segment of privilege 0 becomes null');
  frame(0x9000n, 0x1bn, 0x23n);
  m.run('48 cf');
  assert.deepEqual([m.state.is64BitCode, m.state.reg(4)], [false, 0x5678_9abcn]);
  const bad: [rip: bigint, cs: bigint, ss: bigint, fault: string][] = [
    [0x8000_0000_0000n, 0x43n, 0x23n, '13:0'],
    [0x9000n, 0n, 0x23n, '13:0'],
    [0x9000n, 0x40n, 0x23n, '13:40'],
    [0x9000n, 0x43n, 0n, '13:0'],
    [0x9000n, 0x43n, 3n, '13:0'],
    [0x9000n, 0x43n, 0x13n, '13:10'],
    [0x9000n, 0x43n, 0x4bn, '13:48'],
    [0x1_0000_0000n, 0x1bn, 0x23n, '13:0'],
  ];
  for (const [rip, cs, ss, fault] of bad) {
    frame(rip, cs, ss);
    assert.equal(m.fault('48 cf'), fault, `${cs} ${ss}`);
    assert.deepEqual([m.state.cpl, m.state.reg(4), m.state.rip], [0, 0x7000n, 0x5000n]);
  }
  frame(0x9000n, 0x28n, 0n);
  m.run('48 cf');
  assert.equal(m.state.reg(4), 0x1234_5678_9abcn, 'the stack is loaded without a change of privilege too');
  m.state.rflags = FLAG.nt | 2;
  assert.equal(m.fault('48 cf'), '13:0', 'no tasks in long mode');
});

test('IRET to virtual-8086 mode, and an interrupt out of it', () => {
  const m = protectedMachine();
  m.state.setReg(4, 0x7000n);
  [0x100, 0x200, FLAG.vm | FLAG.if | 2, 0xfff0, 0x300, 0x400, 0x500, 0x600, 0x700].forEach((value, n) => {
    m.view.setUint32(0x7000 + n * 4, value, true);
  });
  m.run('cf');
  assert.deepEqual([m.state.isVirtual8086, m.state.cpl, m.state.segmentBase(3)], [true, 3, 0x5000n]);
  assert.equal(m.fault('cd 20'), '13:0', 'INT n needs IOPL 3');
  m.putGate(0x2000 + 3 * 8, 8, 0x9000n, 0xee);
  m.view.setUint32(0x3004, 0x6000, true);
  m.view.setUint32(0x3008, 0x10, true);
  m.run('cc');
  assert.deepEqual([m.state.isVirtual8086, m.state.cpl, m.state.reg(4)], [false, 0, 0x6000n - 36n]);
  const frame = Array.from({ length: 9 }, (_, n) => m.view.getUint32(0x6000 - 36 + n * 4, true));
  assert.deepEqual(frame, [0x101, 0x200, FLAG.vm | FLAG.if | 2, 0xfff0, 0x300, 0x400, 0x500, 0x600, 0x700]);
  assert.equal(m.state.segmentAttributes(3), 0);
  m.run('cf');
  assert.deepEqual([m.state.isVirtual8086, m.state.rip], [true, 0x101n]);
});

test('a task switch saves one task and loads the other, and IRET comes back', () => {
  const m = protectedMachine();
  m.putDescriptor(0x1048, 0xa000, 0x67, 0x89);
  const tss = (offset: number, value: number) => m.view.setUint32(0xa000 + offset, value, true);
  tss(32, 0xb000);
  tss(36, 2);
  tss(40, 77);
  tss(56, 0xc000);
  for (const n of [72, 80, 84, 88, 92]) tss(n, 0x10);
  tss(76, 8);
  m.state.setReg(3, 5n);
  m.run('9a 00 00 00 00 48 00');
  assert.deepEqual([m.state.rip, m.state.reg(0), m.state.reg(4)], [0xb000n, 77n, 0xc000n]);
  assert.equal(m.state.selector(7), 0x48);
  assert.ok((m.state.rflags & FLAG.nt) !== 0);
  assert.ok((m.state.cr0 & CR0.ts) !== 0);
  assert.equal(m.view.getUint32(0x3000 + 32, true), 0x5007);
  assert.equal(m.view.getUint16(0xa000, true), 0x30);
  m.putDescriptor(0x1030, 0x3000, 0x87, 0x8b);
  m.run('cf');
  assert.deepEqual([m.state.rip, m.state.reg(3), m.state.selector(7)], [0x5007n, 5n, 0x30]);
  assert.equal(m.ram[0x104d], 0x89, 'no longer busy');
  assert.equal(m.fault('ea 00 00 00 00 30 00'), '13:30', 'the running task is busy');
});
