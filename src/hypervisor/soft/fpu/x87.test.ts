/** The x87 unit by itself: faults, images, and a few results that need no host to be known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OP, type OpName } from '../decode/opcodes.ts';
import { CPU, CPU_SIZE, SLOT } from '../state.ts';
import { environmentSize } from './environment.ts';
import { NO_STORE, X87 } from './x87.ts';

const CPU_AT = 64;
const NM = 8;
const GP = 14;
const MF = 17;

class Bench {
  readonly memory = new DataView(new ArrayBuffer(CPU_AT + CPU_SIZE));
  readonly x87 = new X87(this.memory, CPU_AT);

  constructor() {
    this.x87.init();
  }

  run(name: OpName, a = 0, b = 0, size = 0): number {
    return this.x87.execute(OP[name], a, b, size);
  }

  load(value: number): void {
    this.memory.setFloat64(CPU_AT + SLOT.t1, value, true);
    this.run('fld', 0, 0, 8);
  }

  pop(): number {
    assert.equal(this.run('fstp', 0, 0, 8), 0);
    return this.memory.getFloat64(CPU_AT + SLOT.t1, true);
  }

  get status(): number {
    return this.memory.getUint16(CPU_AT + CPU.x87Status, true);
  }

  setControl(value: number): void {
    this.memory.setUint16(CPU_AT + SLOT.t1, value, true);
    this.run('fldcw', 0, 0, 2);
  }
}

const AGREEING: readonly [OpName, number[], number][] = [
  ['faddp', [0.1, 0.2], 0.1 + 0.2],
  ['fsubp', [1, 1e-17], 1],
  ['fmulp', [3, -7], -21],
  ['fdivp', [1, 3], 1 / 3],
  ['fsqrt', [2], Math.SQRT2],
  ['fsin', [1], 0.8414709848078965],
  ['fcos', [1], 0.5403023058681398],
  ['fpatan', [1, -1], 2.356194490192345],
  ['f2xm1', [0.5], Math.expm1(Math.LN2 / 2)],
  ['fyl2x', [1, 10], Math.log2(10)],
  ['fyl2xp1', [1, 1e-10], Math.log1p(1e-10) * Math.LOG2E],
  ['fprem', [3, -10], -1],
  ['frndint', [2.5], 2],
  ['fscale', [3, 1.5], 12],
];

for (const [name, operands, expected] of AGREEING) {
  test(`${name} of ${operands.join(' and ')} is ${expected}`, () => {
    const bench = new Bench();
    for (const operand of operands) bench.load(operand);
    bench.run(name, 1, 0);
    assert.ok(Math.abs(bench.pop() - expected) <= Math.abs(expected) * 2 ** -51);
  });
}

test('an exception that is not masked waits for the next waiting instruction', () => {
  const bench = new Bench();
  bench.setControl(0x37b);
  bench.load(1);
  bench.load(0);
  bench.run('fdivp', 1, 0);
  assert.equal(bench.status & 0x80ff, 0x8084);
  assert.equal(bench.x87.check(OP.fadd), MF);
  assert.equal(bench.x87.check(OP.fwait), MF);
  for (const name of ['fnstsw', 'fnstcw', 'fnclex', 'fninit', 'fnstenv', 'fnsave'] as const) {
    assert.equal(bench.x87.check(OP[name]), 0, name);
  }
  assert.equal(bench.pop(), 0, 'the operands are as they were');
  bench.run('fnclex');
  assert.equal(bench.x87.check(OP.fadd), 0);
});

test('a store that an exception forbids is not done and does not pop', () => {
  const bench = new Bench();
  bench.setControl(0x37e);
  bench.load(1e300);
  assert.equal(bench.run('fistp', 0, 0, 4), NO_STORE);
  bench.setControl(0x37f);
  assert.equal(bench.pop(), 1e300);
});

test('CR0.EM and CR0.TS make the unit unavailable, for FWAIT only TS with MP', () => {
  const bench = new Bench();
  const check = (cr0: number, name: OpName): number => {
    bench.memory.setUint32(CPU_AT + CPU.cr0, cr0, true);
    return bench.x87.check(OP[name]);
  };
  assert.equal(check(4, 'fadd'), NM);
  assert.equal(check(8, 'fadd'), NM);
  assert.equal(check(2, 'fadd'), 0);
  assert.equal(check(4, 'fwait'), 0);
  assert.equal(check(8, 'fwait'), 0);
  assert.equal(check(10, 'fwait'), NM);
});

test('an operation of another unit is refused', () => {
  assert.throws(() => new Bench().run('add'), /not an instruction of x87/);
});

test('a stack that is full or empty gives the indefinite and tells which in C1', () => {
  const bench = new Bench();
  for (let n = 0; n < 8; n++) bench.load(n);
  assert.equal(bench.status & 0x241, 0);
  bench.load(8);
  assert.equal(bench.status & 0x241, 0x241);
  for (let n = 0; n < 8; n++) bench.run('fstp', 0);
  bench.run('fnclex');
  assert.ok(Number.isNaN(bench.pop()));
  assert.equal(bench.status & 0x241, 0x41);
});

test('environments keep the pointers in each of the four formats', () => {
  for (const [size, real, ip, cs, opcode] of [
    [2, false, 0x5678, 0x1b, 0],
    [2, true, 0x45678, 0, 0x5ad],
    [4, false, 0x1234_5678, 0x1b, 0x5ad],
    [4, true, 0x1234_5678, 0, 0x5ad],
  ] as const) {
    const format = { size, real };
    const from = new Bench();
    const { memory } = from;
    memory.setBigUint64(CPU_AT + CPU.x87Ip, 0x1234_5678n, true);
    memory.setBigUint64(CPU_AT + CPU.x87Dp, 0x9abc_def0n, true);
    memory.setUint16(CPU_AT + CPU.x87Cs, 0x1b, true);
    memory.setUint16(CPU_AT + CPU.x87Opcode, 0x5ad, true);
    const image = new DataView(new ArrayBuffer(environmentSize(format)));
    from.x87.saveEnvironment(image, format);
    const to = new Bench();
    to.x87.loadEnvironment(image, format);
    assert.equal(to.memory.getBigUint64(CPU_AT + CPU.x87Ip, true), BigInt(ip));
    assert.equal(to.memory.getUint16(CPU_AT + CPU.x87Cs, true), cs);
    assert.equal(to.memory.getUint16(CPU_AT + CPU.x87Opcode, true), opcode);
    const linear = size === 4 ? 0x9abc_def0n : real ? 0xcdef0n : 0xdef0n;
    assert.equal(to.memory.getBigUint64(CPU_AT + CPU.x87Dp, true), linear);
  }
});

test('FNSTENV computes tags from contents and masks exceptions afterwards', () => {
  const bench = new Bench();
  bench.setControl(0x340);
  for (const value of [1, 0, Number.POSITIVE_INFINITY]) bench.load(value);
  const image = new DataView(new ArrayBuffer(28));
  bench.x87.saveEnvironment(image, { size: 4, real: false });
  assert.equal(image.getUint32(0, true), 0xffff_0340);
  assert.equal(image.getUint32(8, true), 0xffff_1bff);
  assert.equal(bench.memory.getUint16(CPU_AT + CPU.x87Control, true), 0x37f);
});

test('FXRSTOR refuses reserved bits of MXCSR and changes nothing', () => {
  const bench = new Bench();
  const image = new DataView(new ArrayBuffer(512));
  image.setUint32(24, 0x1_0000, true);
  image.setUint16(0, 0x27f, true);
  assert.equal(bench.x87.fxrstor(image, { wide: true, code64: true }), GP);
  assert.equal(bench.memory.getUint16(CPU_AT + CPU.x87Control, true), 0x37f);
});

test('FXSAVE outside of 64-bit mode has selectors and eight vectors, and leaves the rest of the image', () => {
  const bench = new Bench();
  const { memory } = bench;
  memory.setUint16(CPU_AT + CPU.x87Cs, 0x1b, true);
  memory.setBigUint64(CPU_AT + CPU.xmm + 16 * 7, 7n, true);
  memory.setBigUint64(CPU_AT + CPU.xmm + 16 * 8, 8n, true);
  const image = new DataView(new ArrayBuffer(512));
  for (let n = 0; n < 512; n++) image.setUint8(n, 0xee);
  const format = { wide: false, code64: false };
  bench.x87.fxsave(image, format);
  assert.equal(image.getUint16(12, true), 0x1b);
  assert.equal(image.getBigUint64(160 + 16 * 7, true), 7n);
  assert.equal(image.getUint8(160 + 16 * 8), 0xee);
  assert.equal(image.getUint8(511), 0xee);
  image.setUint32(24, 0x1f80, true);
  const other = new Bench();
  assert.equal(other.x87.fxrstor(image, format), 0);
  assert.equal(other.memory.getUint16(CPU_AT + CPU.x87Cs, true), 0x1b);
  assert.equal(other.memory.getBigUint64(CPU_AT + CPU.xmm + 16 * 8, true), 0n);
});

test('the largest number follows precision control', () => {
  const bench = new Bench();
  // To zero, 24 bits.
  bench.setControl(0xc7f);
  bench.load(2 ** 1000);
  for (let n = 0; n < 5; n++) bench.run('fmul', 0, 0);
  assert.equal(bench.run('fstp', 0, 0, 10), 0);
  assert.equal(bench.memory.getBigUint64(CPU_AT + SLOT.t1, true), 0xffff_ff00_0000_0000n);
  assert.equal(bench.memory.getUint16(CPU_AT + SLOT.t2, true), 0x7ffe);
});

test('remainders of operands far apart come in steps that end', () => {
  const bench = new Bench();
  bench.load(3);
  bench.load(2 ** 1000);
  let steps = 0;
  do bench.run('fprem');
  while ((bench.status & 0x400) !== 0 && ++steps < 40);
  assert.equal(bench.pop(), 1);
  assert.ok(steps > 10);
});
