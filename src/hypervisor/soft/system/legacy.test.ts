import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG } from '../architecture.ts';
import { CPU } from '../state.ts';
import { TestMachine } from './test-machine.ts';

const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7];

/** Real mode, CS 0:5000, stack 0:8000, DS 400. */
function realMachine(): TestMachine {
  const m = new TestMachine();
  m.state.setSegment(1, 0, 0n, 0xffff, 0x9b);
  m.state.setSegment(3, 0x400, 0x4000n, 0xffff, 0x93);
  m.state.rip = 0x5000n;
  m.state.setReg(RSP, 0x8000n);
  m.state.updateMode();
  return m;
}

test('string instructions move element by element within the limits', () => {
  const m = realMachine();
  m.ram.set([1, 2, 3, 4], 0x4010);
  m.state.setReg(RSI, 0x10n);
  m.state.setReg(RDI, 0xabcd_0020n);
  m.state.setReg(RCX, 4n);
  assert.equal(m.run('f3 a4'), 'next');
  assert.deepEqual([...m.ram.slice(0x20, 0x24)], [1, 2, 3, 4]);
  assert.deepEqual([m.state.reg(RCX), m.state.reg(RSI), m.state.reg(RDI)], [0n, 0x14n, 0xabcd_0024n]);
  m.state.setSegment(0, 0, 0n, 0x21, 0x93);
  m.state.setReg(RDI, 0x20n);
  m.state.setReg(RCX, 4n);
  assert.equal(m.fault('f3 aa'), '13:0');
  assert.deepEqual([m.state.reg(RCX), m.state.reg(RDI)], [2n, 0x22n], 'two elements are done');
});

test('a long repetition lets interrupts in', () => {
  const m = realMachine();
  m.state.setReg(RCX, 1025n);
  assert.equal(m.run('f3 aa'), 'jump');
  assert.deepEqual([m.state.rip, m.state.reg(RCX)], [0x5000n, 1024n]);
  assert.equal(m.run('f3 aa'), 'next');
  assert.equal(m.state.reg(RCX), 0n);
});

test('CMPS and SCAS stop where the prefix says', () => {
  const m = realMachine();
  m.ram.set([5, 6, 7], 0x4000);
  m.ram.set([5, 6, 8], 0x100);
  m.state.setReg(RDI, 0x100n);
  m.state.setReg(RCX, 10n);
  m.run('f3 a6');
  assert.deepEqual([m.state.reg(RCX), m.state.reg(RSI)], [7n, 3n]);
  assert.equal(m.state.rflags & (FLAG.cf | FLAG.zf | FLAG.sf), FLAG.cf | FLAG.sf);
  m.state.setReg(RAX, 6n);
  m.state.setReg(RDI, 0x100n);
  m.state.setReg(RCX, 10n);
  m.run('f2 ae');
  assert.deepEqual([m.state.reg(RCX), m.state.rflags & FLAG.zf], [8n, FLAG.zf]);
});

test('branches with 16-bit operands wrap and check', () => {
  const m = realMachine();
  m.state.rip = 0xfff0n;
  assert.equal(m.run('74 10'), 'next');
  m.state.rflags = FLAG.zf | 2;
  m.state.rip = 0xfff0n;
  assert.equal(m.run('74 10'), 'jump');
  assert.equal(m.state.rip, 2n);
  m.state.setReg(RCX, 0x1_0001n);
  assert.equal(m.run('e2 fe'), 'next');
  assert.equal(m.state.reg(RCX), 0x1_0000n);
  assert.equal(m.run('e3 10'), 'jump');
  assert.equal(m.state.rip, 0x16n);
  m.state.setSegment(1, 0, 0n, 0x20, 0x9b);
  assert.equal(m.fault('74 10'), '13:0');
});

test('PUSHA, POPA, ENTER and LEAVE', () => {
  const m = realMachine();
  for (let n = 0; n < 8; n++) if (n !== RSP) m.state.setReg(n, BigInt(0x1110 + n));
  m.run('60');
  assert.deepEqual([m.view.getUint16(0x7ff6, true), m.view.getUint16(0x7ff0, true)], [0x8000, 0x1117]);
  for (let n = 0; n < 8; n++) if (n !== RSP) m.state.setReg(n, 0n);
  m.run('61');
  assert.deepEqual([m.state.reg(RSP), m.state.reg(RBX), m.state.reg(RDI)], [0x8000n, 0x1113n, 0x1117n]);
  m.view.setUint16(0x1115 - 2, 0x99, true);
  m.run('c8 10 00 02');
  assert.equal(m.state.reg(RBP), 0x7ffen);
  assert.deepEqual([m.view.getUint16(0x7ffc, true), m.view.getUint16(0x7ffa, true)], [0x99, 0x7ffe]);
  assert.equal(m.state.reg(RSP), 0x7ffan - 0x10n);
  m.run('c9');
  assert.deepEqual([m.state.reg(RSP), m.state.reg(RBP)], [0x8000n, 0x1115n]);
});

test('POP to memory keeps the stack when the store faults', () => {
  const m = realMachine();
  m.view.setUint16(0x8000, 0x1234, true);
  m.run('8f 06 10 00');
  assert.equal(m.view.getUint16(0x4010, true), 0x1234);
  m.state.setSegment(3, 0x400, 0x4000n, 0xf, 0x93);
  assert.equal(m.fault('8f 06 10 00'), '13:0');
  assert.equal(m.state.reg(RSP), 0x8002n);
});

test('POPF sets TF, and enters step mode', () => {
  const m = realMachine();
  m.view.setUint16(0x8000, FLAG.tf | FLAG.if | 2, true);
  assert.equal(m.run('9d'), 'jump');
  assert.deepEqual([m.state.rip, m.state.u32(CPU.mode) & 16], [0x5001n, 16]);
  m.run('9c');
  assert.equal(m.view.getUint16(0x8000, true), FLAG.tf | FLAG.if | 2);
});

test('decimal arithmetic', () => {
  const m = realMachine();
  const al = (value: number, flags: number, hex: string) => {
    m.state.setReg(RAX, BigInt(value));
    m.state.rflags = flags | 2;
    m.run(hex);
    return [Number(m.state.reg(RAX)), m.state.rflags & (FLAG.cf | FLAG.af)];
  };
  assert.deepEqual(al(0xae, 0, '27'), [0x14, FLAG.cf | FLAG.af]);
  assert.deepEqual(al(0x2e, FLAG.cf, '27'), [0x94, FLAG.cf | FLAG.af]);
  assert.deepEqual(al(0x35, 0, '27'), [0x35, 0]);
  assert.deepEqual(al(0xee, FLAG.af, '2f'), [0x88, FLAG.cf | FLAG.af]);
  assert.deepEqual(al(0x03, FLAG.af, '2f'), [0xfd, FLAG.cf | FLAG.af]);
  assert.deepEqual(al(0x010c, 0, '37'), [0x0202, FLAG.cf | FLAG.af]);
  assert.deepEqual(al(0x0203, FLAG.af, '3f'), [0x000d, FLAG.cf | FLAG.af]);
  assert.deepEqual(al(0x47, 0, 'd4 0a'), [0x0701, 0]);
  assert.deepEqual(al(0x0705, 0, 'd5 0a'), [0x4b, 0]);
  assert.deepEqual(al(0, FLAG.cf, 'd6'), [0xff, FLAG.cf]);
  assert.equal(m.fault('d4 00'), '0:0');
});

test('BOUND and XLAT', () => {
  const m = realMachine();
  m.view.setInt16(0x4000, -5, true);
  m.view.setInt16(0x4002, 10, true);
  m.state.setReg(RAX, 0xfffbn);
  assert.equal(m.fault('62 06 00 00'), undefined);
  m.state.setReg(RAX, 11n);
  assert.equal(m.fault('62 06 00 00'), '5:0');
  m.ram[0x4000 + 0x30 + 11] = 42;
  m.state.setReg(RBX, 0x30n);
  m.run('d7');
  assert.equal(m.state.reg(RAX), 42n);
});

test('ports need IOPL or the permission bitmap', () => {
  const m = new TestMachine();
  m.enterProtected(3);
  m.view.setUint16(0x3066, 0x68, true);
  m.state.setReg(RDX, 9n);
  assert.equal(m.run('ec'), 'next');
  m.ram[0x3069] = 4;
  assert.equal(m.run('ec'), 'next');
  assert.equal(m.fault('ed'), '13:0', 'port 10 is closed');
  m.state.setReg(RDX, 0xfffn);
  assert.equal(m.fault('ec'), '13:0', 'beyond the bitmap');
  m.state.rflags = FLAG.iopl | 2;
  m.state.setReg(RAX, 0x55n);
  m.run('ee');
  assert.deepEqual(m.ports.at(-1), [0xfff, 1, 0x55]);
  m.state.setReg(RCX, 2n);
  m.state.setReg(RDI, 0x4000n);
  m.run('f3 6d');
  assert.deepEqual([m.view.getUint32(0x4004, true), m.state.reg(RDI)], [0x1122_3344, 0x4008n]);
  m.state.setReg(RSI, 0x4000n);
  m.run('6f');
  assert.deepEqual(m.ports.at(-1), [0xfff, 4, 0x1122_3344]);
});

test('memory operands beyond a limit fault: #SS through SS, #GP otherwise', () => {
  const m = realMachine();
  m.state.setSegment(2, 0, 0n, 0xfff, 0x93);
  m.state.setReg(RBP, 0x1000n);
  assert.equal(m.fault('0f 01 46 00'), '12:0');
  m.state.setReg(RBX, 0xfffcn);
  assert.equal(m.fault('0f 01 07'), '13:0');
});
