/** Every form of every vector instruction, compared with the host's own CPU over special and random operands and modes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostMissing } from '../fpu/x87-host.ts';
import { CPU, MMX_FIRST, SLOT, XMM_TEMP } from '../state.ts';
import { type Filling, fillOperands, Random, type VectorCase, vectorCases } from './vector-cases.ts';
import { RECORD, runOnHost } from './vector-host.ts';
import { VECTOR_OPS } from './vector-ops.ts';
import { buildTestModule, CPU_BLOCK, type TestModule } from './vector-test-module.ts';

const SEED = Number(process.env['VECTOR_SEED'] ?? 1);
/** Records for each case; float instructions have more, for the modes. */
const ROUNDS = Number(process.env['VECTOR_ROUNDS'] ?? 40);
const FLOAT_FACTOR = 5;
/** Where each immediate is a case of its own. */
const IMMEDIATE_FACTOR = 0.25;

const ARITHMETIC_FLAGS = 0x8d5;
const MASKS = 0x1f80;
const PRECISION_FLAG = 0x20;
const OSXMMEXCPT = 1 << 10;
const SIGFPE = 8;
const XM = 19;

/** Lengths whose negative does not exist, or that are short in half of the register only. */
const EXTREME_LENGTHS = [-(2n ** 63n), -(2n ** 31n), 2n ** 31n, 2n ** 31n - 1n, 2n ** 32n, 2n ** 32n + 3n] as const;

/** Approximations, which differ between processors; a relative error of 1.5 * 2^-12 is allowed. */
const APPROXIMATE = /^r(cp|sqrt)[ps]s$/;
const FLOAT = /^(add|sub|mul|div|sqrt|min|max|cmp|round|hadd|hsub|addsub|dp|cvt|u?comi|rcp|rsqrt)/;

function fillingsOf(name: string): readonly Filling[] {
  if (name.startsWith('pcmpestr') || name.startsWith('pcmpistr')) return ['text', 'text', 'bytes'];
  if (name.startsWith('cvt')) return ['f32', 'f64', 'bytes', 'any'];
  if (!FLOAT.test(name)) return ['bytes', 'bytes', 'any'];
  return /[ps]d$/.test(name) ? ['f64'] : ['f32'];
}

function roundsOf(c: VectorCase): number {
  if (c.op.immediate !== undefined) return Math.ceil(ROUNDS * IMMEDIATE_FACTOR);
  return FLOAT.test(c.name) ? ROUNDS * FLOAT_FACTOR : ROUNDS;
}

/** Mostly the usual modes; then any rounding, flushing, masks and flags. */
function mxcsr(random: Random): number {
  const kind = random.below(8);
  if (kind < 2) return MASKS | PRECISION_FLAG;
  if (kind < 3) return MASKS;
  if (kind < 6) return MASKS | (random.next() & 0xe07f);
  return random.next() & 0xffff;
}

function writeRecord(random: Random, c: VectorCase, record: DataView): void {
  c.code.forEach((byte, i) => {
    record.setUint8(RECORD.code + i, byte);
  });
  if (c.immediate) record.setUint8(RECORD.code + c.code.length - 1, immediate(random));
  record.setUint32(RECORD.length, c.code.length, true);
  record.setUint32(RECORD.mxcsr, mxcsr(random), true);
  const filling = random.pick(fillingsOf(c.name));
  fillOperands(random, record, RECORD.xmm, RECORD.memory, 'any');
  fillOperands(random, record, RECORD.xmm + 16, RECORD.xmm + 32, filling);
  fillOperands(random, record, RECORD.xmm + 16, RECORD.memory, filling);
  // A shift count is small.
  if (/^ps[rl][la][wdq]/.test(c.name) && random.below(4) > 0) {
    record.setBigUint64(RECORD.xmm + 32, BigInt(random.below(70)), true);
    record.setBigUint64(RECORD.memory, BigInt(random.below(70)), true);
  }
  for (let i = 0; i < 2; i++) {
    record.setBigUint64(RECORD.mm + 8 * i, record.getBigUint64(RECORD.xmm + 16 * (i + 1), true), true);
  }
  for (const at of [RECORD.rax, RECORD.rdx]) record.setBigInt64(at, stringLength(random), true);
  for (const at of [RECORD.rcx, RECORD.rbx, RECORD.rsi]) record.setBigUint64(at, generalValue(random), true);
  if (random.below(4) === 0) record.setUint32(RECORD.rax + 4, random.next(), true);
  record.setBigUint64(RECORD.rflags, BigInt((random.next() & ARITHMETIC_FLAGS) | 2), true);
}

/** Mostly about as long as a vector, of either sign. */
function stringLength(random: Random): bigint {
  return random.below(8) === 0 ? random.pick(EXTREME_LENGTHS) : BigInt(random.below(50) - 25);
}

const immediate = (random: Random): number => (random.below(3) === 0 ? random.next() & 0xff : random.below(64));

function generalValue(random: Random): bigint {
  if (random.below(3) === 0) return BigInt.asUintN(64, BigInt(random.below(2000) - 1000));
  return random.u64() >> BigInt(random.below(64));
}

/** Copies `count` bytes. */
function copy(from: DataView, at: number, to: DataView, target: number, count: number): void {
  for (let i = 0; i < count; i++) to.setUint8(target + i, from.getUint8(at + i));
}

const GENERAL = [
  [RECORD.rax, SLOT.rax],
  [RECORD.rdx, SLOT.rdx],
  [RECORD.rcx, SLOT.rcx],
  [RECORD.rbx, SLOT.rbx],
  [RECORD.rsi, SLOT.rsi],
] as const;

const TEMPORARY = CPU_BLOCK + CPU.xmm + 16 * XMM_TEMP;

function setState(view: DataView, record: DataView, c: VectorCase): void {
  const { form } = c;
  view.setUint32(CPU_BLOCK + CPU.fault, 0, true);
  view.setUint32(CPU_BLOCK + CPU.cr4, OSXMMEXCPT, true);
  view.setUint32(CPU_BLOCK + CPU.mxcsr, record.getUint32(RECORD.mxcsr, true), true);
  copy(record, RECORD.xmm, view, CPU_BLOCK + CPU.xmm, 48);
  for (let i = 0; i < 2; i++) copy(record, RECORD.mm + 8 * i, view, mmx(i), 8);
  for (const [from, slot] of GENERAL) copy(record, from, view, CPU_BLOCK + slot, 8);
  setFlags(view, record.getUint32(RECORD.rflags, true));
  // What the lowering loads: the operand and zeros above it.
  const general = form.files.endsWith('g');
  const target = general ? CPU_BLOCK + SLOT.t1 : TEMPORARY;
  for (let i = 0; i < (general ? 8 : 16); i++) view.setUint8(target + i, 0);
  if (form.memory === 'b') copy(record, RECORD.memory, view, target, form.sizeB);
}

const mmx = (i: number): number => CPU_BLOCK + CPU.xmm + 16 * (MMX_FIRST + i);

function setFlags(view: DataView, image: number): void {
  const bit = (n: number) => BigInt((image >> n) & 1);
  view.setBigUint64(CPU_BLOCK + CPU.flagResult, bit(6) === 1n ? 0n : 0x100n, true);
  view.setBigUint64(CPU_BLOCK + CPU.flagCarry, (bit(0) << 63n) | ((bit(0) ^ bit(11)) << 62n), true);
  const other = (image & 0x10) | Number(bit(7)) | (Number(bit(2) ^ 1n) << 8);
  view.setUint32(CPU_BLOCK + CPU.flagOther, other, true);
}

function flagsOf(view: DataView): number {
  const result = view.getBigUint64(CPU_BLOCK + CPU.flagResult, true);
  const carry = view.getBigUint64(CPU_BLOCK + CPU.flagCarry, true);
  const other = view.getUint32(CPU_BLOCK + CPU.flagOther, true);
  const cf = Number(carry >> 63n);
  const of = cf ^ Number((carry >> 62n) & 1n);
  const sf = Number(result >> 63n) ^ (other & 1);
  const low = (Number(result & 0xffn) ^ (other >> 8)) & 0xff;
  const even = low.toString(2).replaceAll('0', '').length % 2 === 0;
  return cf | (even ? 4 : 0) | (other & 0x10) | (result === 0n ? 0x40 : 0) | (sf << 7) | (of << 11);
}

/** Runs the case in WebAssembly and writes what it leaves over the record. */
function runHere(module: TestModule, i: number, c: VectorCase, record: DataView): void {
  const { view } = module;
  setState(view, record, c);
  module.run(i, c.immediate ? record.getInt8(RECORD.code + c.code.length - 1) : 0);
  const fault = view.getUint32(CPU_BLOCK + CPU.fault, true);
  record.setBigUint64(RECORD.fault, fault === 0 ? 0n : fault === XM + 1 ? BigInt(SIGFPE) : 99n, true);
  record.setUint32(RECORD.mxcsr, view.getUint32(CPU_BLOCK + CPU.mxcsr, true), true);
  copy(view, CPU_BLOCK + CPU.xmm, record, RECORD.xmm, 48);
  for (let k = 0; k < 2; k++) copy(view, mmx(k), record, RECORD.mm + 8 * k, 8);
  for (const [to, slot] of GENERAL) copy(view, CPU_BLOCK + slot, record, to, 8);
  record.setBigUint64(RECORD.rflags, BigInt(flagsOf(view)), true);
  if (c.op.special === 'maskmove') {
    const bits = view.getUint32(CPU_BLOCK + SLOT.t3, true);
    const from = c.form.files === 'mm' ? RECORD.mm : RECORD.xmm + 16;
    for (let k = 0; k < 16; k++) if ((bits >> k) & 1) copy(record, from + k, record, RECORD.memory + k, 1);
  } else if (c.form.memory === 'a') {
    copy(view, c.form.files.startsWith('g') ? CPU_BLOCK + SLOT.t1 : TEMPORARY, record, RECORD.memory, c.form.sizeA);
  }
}

/** Takes out what is not compared. */
function normalize(c: VectorCase, record: DataView, reference: DataView): void {
  record.setBigUint64(RECORD.rflags, record.getBigUint64(RECORD.rflags, true) & BigInt(ARITHMETIC_FLAGS), true);
  if (!APPROXIMATE.test(c.name)) return;
  for (let at = RECORD.xmm + 16; at < RECORD.xmm + 32; at += 4) {
    const expected = reference.getFloat32(at, true);
    // At the lower end of the range processors give either the smallest number or zero.
    const tolerance = Math.max(Math.abs(expected) * 1.5 * 2 ** -12, 2 ** -126);
    const near = Math.abs(record.getFloat32(at, true) - expected) <= tolerance;
    if (near) record.setUint32(at, reference.getUint32(at, true), true);
  }
}

const hex = (record: DataView, at: number, count: number): string =>
  Array.from({ length: count }, (_, i) =>
    record
      .getUint8(at + count - 1 - i)
      .toString(16)
      .padStart(2, '0'),
  ).join('');

function describe(record: DataView): string {
  const parts = [0, 1, 2].map((i) => `xmm${i} ${hex(record, RECORD.xmm + 16 * i, 16)}`);
  parts.push(`memory ${hex(record, RECORD.memory, 16)}`);
  for (const i of [0, 1]) parts.push(`mm${i} ${hex(record, RECORD.mm + 8 * i, 8)}`);
  for (const name of ['rax', 'rdx', 'rcx', 'rbx', 'rsi', 'rflags', 'fault'] as const) {
    parts.push(`${name} ${hex(record, RECORD[name], 8)}`);
  }
  return `${parts.join('\n    ')}\n    mxcsr ${hex(record, RECORD.mxcsr, 4)}`;
}

const skip = hostMissing() ?? false;
if (skip) console.log(`vector instructions are NOT compared with the host: ${skip}`);

test('every vector instruction of the decoder is in the table once and has cases', () => {
  const cases = vectorCases();
  const tested = new Set(cases.map((c) => c.name));
  assert.deepEqual(
    VECTOR_OPS.map((op) => op.op).filter((name) => !tested.has(name)),
    [],
  );
  assert.equal(new Set(VECTOR_OPS.map((op) => op.op)).size, VECTOR_OPS.length);
  for (const op of VECTOR_OPS) {
    const files = new Set(cases.filter((c) => c.op === op).map((c) => c.form.files));
    assert.deepEqual([...files].sort(), [...op.forms].sort(), `forms of ${op.op}`);
  }
});

test('vector instructions do what the host CPU does', { skip }, () => {
  const cases = vectorCases();
  const module = buildTestModule(cases);
  const random = new Random(SEED);
  const plan = cases.flatMap((c, i) => new Array<number>(roundsOf(c)).fill(i));
  const input = new Uint8Array(plan.length * RECORD.size);
  const at = (bytes: Uint8Array, k: number) =>
    new DataView(bytes.buffer, bytes.byteOffset + k * RECORD.size, RECORD.size);
  plan.forEach((i, k) => {
    writeRecord(random, cases[i]!, at(input, k));
  });
  const expected = runOnHost(input);
  assert.equal(expected.length, input.length, 'the host program ran to its end');
  const failures = new Map<number, string>();
  let wrong = 0;
  plan.forEach((i, k) => {
    const c = cases[i]!;
    const before = describe(at(input, k));
    runHere(module, i, c, at(input, k));
    for (const bytes of [input, expected]) normalize(c, at(bytes, k), at(expected, k));
    if (
      Buffer.compare(
        input.subarray(k * RECORD.size, (k + 1) * RECORD.size),
        expected.subarray(k * RECORD.size, (k + 1) * RECORD.size),
      ) === 0
    )
      return;
    wrong++;
    const code = hex(at(input, k), RECORD.code, c.code.length);
    const text = `${c.name} ${c.form.files} ${c.form.memory ?? ''} code (reversed) ${code}\n  from\n    ${before}`;
    failures.set(i, `${text}\n  here\n    ${describe(at(input, k))}\n  host\n    ${describe(at(expected, k))}`);
  });
  const names = [...failures.keys()].map((i) => cases[i]!.name).join(' ');
  const shown = [...failures.values()].slice(0, 3).join('\n');
  assert.equal(wrong, 0, `${wrong} of ${plan.length} differ: ${names}\n${shown}`);
  assert.ok(module.exactCalls() < plan.length, 'most went the fast way');
});
