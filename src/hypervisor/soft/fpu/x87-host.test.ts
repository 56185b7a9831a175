/** Every x87 instruction, compared with the host's own CPU over special and random operands, states and modes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OP, type OpName } from '../decode/opcodes.ts';
import { CPU, CPU_SIZE, SLOT } from '../state.ts';
import { NO_STORE, X87, X87_INSTRUCTIONS } from './x87.ts';
import { argument80, ENCODINGS, type Encoding, memoryOperand, operand80, Random, RET } from './x87-cases.ts';
import { hostMissing, isHostAmd, runOnHost, STATE } from './x87-host.ts';

const SEED = Number(process.env['X87_SEED'] ?? 1);
/** Cases of each encoding. */
const ROUNDS = Number(process.env['X87_ROUNDS'] ?? 300);

/** Instructions whose last place is the processor's own: 1 is allowed there, and C1 and PE may differ. */
const APPROXIMATE = new Set(['f2xm1', 'fyl2x', 'fyl2xp1', 'fsin', 'fcos', 'fsincos', 'fptan', 'fpatan']);
/** Instructions that leave C1 alone on AMD's processors and clear it on others, or the other way around. */
const C1_VARIES = /^(fcmov|fu?comi|ffree)/;
/** Instructions that move whole images. */
const IMAGES = new Set(['fldenv', 'fnstenv', 'frstor', 'fnsave']);
/** Instructions before which an exception may be pending. */
const NO_WAIT = new Set(['fnstcw', 'fnstsw', 'fnclex', 'fninit', 'fnstenv', 'fnsave']);
const RFLAGS = 0x8d5;
/** In an FXSAVE image. */
const FX = { control: 0, status: 2, tags: 4, mxcsr: 24, st: 32, xmm: 160, end: 416 } as const;
const FORMAT = { wide: true, code64: true } as const;
const OPERAND_SIZE_PREFIX = 0x66;

interface Case {
  readonly encoding: Encoding;
  /** ST index in the instruction. */
  readonly index: number;
  /** With an operand size prefix. */
  readonly short: boolean;
  readonly state: DataView;
}

function writeState(random: Random, encoding: Encoding, image: DataView): void {
  const { name } = encoding;
  const masks = random.below(3) === 0 ? random.below(0x40) : 0x3f;
  image.setUint16(FX.control, masks | 0x40 | (random.pick([0, 2, 3, 3, 3]) << 8) | (random.below(4) << 10), true);
  const sticky = random.below(2) === 0 ? random.below(0x80) & (NO_WAIT.has(name) ? 0x7f : masks | 0x40) : 0;
  image.setUint16(FX.status, (random.below(0x80) << 8) | sticky, true);
  image.setUint8(FX.tags, startingTags(random, encoding, image));
  image.setUint32(FX.mxcsr, 0x1f80, true);
  for (let n = 0; n < 8; n++) {
    const [high, low] = APPROXIMATE.has(name) ? argument80(random) : operand80(random);
    image.setBigUint64(FX.st + 16 * n, low, true);
    image.setUint16(FX.st + 16 * n + 8, high, true);
  }
  if (random.below(6) === 0) {
    // Operands close to each other.
    image.setBigUint64(FX.st + 16, image.getBigUint64(FX.st, true) ^ BigInt(random.below(4)), true);
    image.setUint16(FX.st + 24, image.getUint16(FX.st + 8, true) ^ (random.below(2) << 15), true);
  }
  for (let n = FX.xmm; n < FX.end; n += 8) image.setBigUint64(n, random.bits64(), true);
}

/** Mostly such that there is no stack fault. */
function startingTags(random: Random, { name, bytes, size }: Encoding, image: DataView): number {
  // This alias of FSTP does not look whether its source is empty.
  if (name === 'fstp' && bytes[0] === 0xd9 && size === 0) return 0xff;
  if (random.below(4) === 0) return random.below(0x100);
  const top = (image.getUint16(FX.status, true) >> 11) & 7;
  const pushes = /^(fld|fild|fbld|fptan|fsincos|fxtract)/.test(name);
  return pushes ? 0xff & ~(1 << ((top + 7) & 7)) : 0xff;
}

function writeMemory(random: Random, { name, size }: Encoding, state: DataView): void {
  if (IMAGES.has(name)) {
    // The words of the environment at their places in both formats; pointers stay 0, processors differ in keeping them.
    for (let n = 0; n < 12; n++) state.setUint8(STATE.memory + n, random.below(0x100));
    for (let n = 28; n < size; n++) state.setUint8(STATE.memory + n, random.below(0x100));
    return;
  }
  const [low, high] = memoryOperand(random, size, !name.startsWith('fi'));
  state.setBigUint64(STATE.memory, low, true);
  state.setBigUint64(STATE.memory + 8, BigInt(high), true);
  if (name === 'fldcw') state.setUint16(STATE.memory, random.below(0x10000), true);
}

function writeCode(encoding: Encoding, index: number, short: boolean, state: DataView): void {
  const code = [encoding.bytes[0], encoding.bytes[1] + index];
  if (short) code.unshift(OPERAND_SIZE_PREFIX);
  for (let n = 0; n < 8; n++) state.setUint8(STATE.code + n, code[n] ?? RET);
}

/** The cases of all encodings, one after another in one buffer, as the host takes them. */
function makeCases(encodings: readonly Encoding[]): Case[] {
  const random = new Random(SEED);
  const bytes = new Uint8Array(encodings.length * ROUNDS * STATE.size);
  return encodings.flatMap((encoding, row) =>
    Array.from({ length: ROUNDS }, (_, round) => {
      const state = new DataView(bytes.buffer, (row * ROUNDS + round) * STATE.size, STATE.size);
      const index = encoding.operands.includes('STi') ? random.below(8) : 0;
      const short = IMAGES.has(encoding.name) && random.below(2) === 0;
      writeState(random, encoding, state);
      writeCode(encoding, index, short, state);
      writeMemory(random, encoding, state);
      state.setBigUint64(STATE.flags, BigInt(0x202 | (random.below(0x1000) & RFLAGS)), true);
      return { encoding, index, short, state };
    }),
  );
}

/** Executes a case here, changing the state as the host does. */
function runHere({ encoding, index, short, state }: Case): void {
  const memory = new DataView(new ArrayBuffer(CPU_SIZE));
  const x87 = new X87(memory, 0);
  assert.equal(x87.fxrstor(state, FORMAT), 0);
  setFlags(memory, state.getUint32(STATE.flags, true));
  assert.equal(x87.check(OP[encoding.name as OpName]), 0);
  if (IMAGES.has(encoding.name)) moveImage(x87, encoding, short, state);
  else executeHere(x87, memory, encoding, index, state);
  state.setUint32(STATE.flags, (state.getUint32(STATE.flags, true) & ~RFLAGS) | getFlags(memory), true);
  x87.fxsave(state, FORMAT);
}

function executeHere(x87: X87, memory: DataView, { name, operands, size }: Encoding, index: number, state: DataView) {
  const mask = (1n << BigInt(Math.min(size, 8) * 8)) - 1n;
  memory.setBigUint64(SLOT.t1, state.getBigUint64(STATE.memory, true) & mask, true);
  memory.setBigUint64(SLOT.t2, size > 8 ? state.getBigUint64(STATE.memory + 8, true) & 0xffffn : 0n, true);
  const a = operands.startsWith('STi') ? index : 0;
  const b = operands.endsWith(' STi') ? index : 0;
  if (x87.execute(OP[name as OpName], a, b, size) === NO_STORE) return;
  for (let n = 0; n < Math.min(size, 8); n++) state.setUint8(STATE.memory + n, memory.getUint8(SLOT.t1 + n));
  for (let n = 8; n < size; n++) state.setUint8(STATE.memory + n, memory.getUint8(SLOT.t2 + n - 8));
  if (operands === 'AX') state.setUint16(STATE.rax, memory.getUint16(SLOT.t1, true), true);
}

function moveImage(x87: X87, { name, size }: Encoding, short: boolean, state: DataView): void {
  const image = new DataView(state.buffer, state.byteOffset + STATE.memory, short ? size - 14 : size);
  const format = { size: short ? 2 : 4, real: false } as const;
  if (name === 'fldenv') x87.loadEnvironment(image, format);
  else if (name === 'fnstenv') x87.saveEnvironment(image, format);
  else if (name === 'frstor') x87.restore(image, format);
  else x87.save(image, format);
}

function setFlags(memory: DataView, flags: number): void {
  const cf = flags & 1;
  const of = (flags >> 11) & 1;
  memory.setBigUint64(CPU.flagResult, (flags & 0x40) !== 0 ? 0n : 0x100n, true);
  memory.setUint32(CPU.flagCarry + 4, ((cf << 31) | ((cf ^ of) << 30)) >>> 0, true);
  memory.setUint32(CPU.flagOther, (flags & 0x10) | ((flags >> 7) & 1) | ((flags & 4) !== 0 ? 0 : 0x100), true);
}

function getFlags(memory: DataView): number {
  const carry = memory.getUint32(CPU.flagCarry + 4, true);
  const result = memory.getBigUint64(CPU.flagResult, true);
  const other = memory.getUint32(CPU.flagOther, true);
  const parity = (Number(result & 0xffn) ^ (other >> 8)) & 0xff;
  const odd = [...parity.toString(2)].filter((bit) => bit === '1').length & 1;
  const sf = Number(result >> 63n) ^ (other & 1);
  const of = (carry >>> 31) ^ ((carry >>> 30) & 1);
  return (carry >>> 31) | (odd === 0 ? 4 : 0) | (other & 0x10) | (result === 0n ? 0x40 : 0) | (sf << 7) | (of << 11);
}

/** ST(0) to ST(7), 80 bits each. */
function registers(image: DataView): bigint[] {
  return Array.from({ length: 8 }, (_, n) => {
    const at = FX.st + 16 * n;
    return (BigInt(image.getUint16(at + 8, true)) << 64n) | image.getBigUint64(at, true);
  });
}

function hexOf(state: DataView, start: number, end: number): string {
  return Buffer.from(state.buffer, state.byteOffset + start, end - start).toString('hex');
}

/** Bits of the status word that processors differ in. */
function unspecified(name: string, control: number, amd: boolean): number {
  if (!APPROXIMATE.has(name)) return !amd && C1_VARIES.test(name) ? 0x200 : 0;
  const precisionMasked = (control & 0x20) !== 0;
  return precisionMasked ? 0x220 : 0x82a0;
}

/** What can be compared of a state; memory without the pointers of an environment. */
function visible({ encoding, short }: Case, state: DataView, amd: boolean): Record<string, string> {
  const { name } = encoding;
  const control = state.getUint16(FX.control, true);
  const environment = short ? 14 : 28;
  const memory = IMAGES.has(name)
    ? hexOf(state, STATE.memory, STATE.memory + (short ? 6 : 12)) +
      hexOf(state, STATE.memory + environment, STATE.memory + environment + 80)
    : hexOf(state, STATE.memory, STATE.memory + 16);
  return {
    control: control.toString(16),
    status: (state.getUint16(FX.status, true) & ~unspecified(name, control, amd)).toString(16),
    tags: state.getUint8(FX.tags).toString(16),
    flags: (state.getUint32(STATE.flags, true) & RFLAGS).toString(16),
    rax: state.getUint16(STATE.rax, true).toString(16),
    memory,
    xmm: hexOf(state, FX.xmm, FX.end),
  };
}

function registersAgree(here: bigint, host: bigint, name: string): boolean {
  if (here === host) return true;
  // Without the integer bit, neighbours differ by 1 across a power of two too.
  const order = (x: bigint): bigint => ((x >> 64n) << 63n) | BigInt.asUintN(63, x);
  const distance = order(here) - order(host);
  return APPROXIMATE.has(name) && distance <= 1n && distance >= -1n;
}

/** A difference, written out for a person; undefined if there is none. */
function difference(one: Case, before: DataView, host: DataView, amd: boolean): string | undefined {
  const { name } = one.encoding;
  const [given, mine, theirs] = [before, one.state, host].map((state) => visible(one, state, amd)) as [
    Record<string, string>,
    Record<string, string>,
    Record<string, string>,
  ];
  const wanted = registers(host);
  registers(one.state).forEach((value, n) => {
    if (registersAgree(value, wanted[n]!, name)) return;
    mine[`st${n}`] = value.toString(16);
    theirs[`st${n}`] = wanted[n]!.toString(16);
  });
  const differs = Object.keys(theirs).filter((key) => mine[key] !== theirs[key]);
  if (differs.length === 0) return undefined;
  const lines = differs.map((key) => `${key}: here ${mine[key]}, host ${theirs[key]}`);
  const stack = registers(before).map((value) => value.toString(16));
  const start = `control ${given['control']}, status ${given['status']}, tags ${given['tags']}, memory ${given['memory']}`;
  return [`${name} ST(${one.index}) after ${start}, ST(0)-ST(7) ${stack.join(' ')}`, ...lines].join('\n  ');
}

const missing = hostMissing();

test('instructions do what the host does', { skip: missing ?? false }, () => {
  const amd = isHostAmd();
  const cases = makeCases(ENCODINGS.filter(({ name }) => amd || name !== 'emms'));
  const before = new Uint8Array(cases[0]!.state.buffer).slice();
  const host = runOnHost(before);
  const failures = new Map<string, string>();
  for (const one of cases) {
    runHere(one);
    const at = (bytes: Uint8Array): DataView =>
      new DataView(bytes.buffer, bytes.byteOffset + one.state.byteOffset, STATE.size);
    const text = difference(one, at(before), at(host), amd);
    if (text !== undefined && !failures.has(one.encoding.name)) failures.set(one.encoding.name, text);
  }
  assert.equal([...failures.values()].join('\n'), '');
});

test('the comparison leaves no instruction out', () => {
  const compared = new Set(ENCODINGS.map(({ name }) => name));
  const all = [...Object.keys(X87_INSTRUCTIONS), ...IMAGES];
  assert.deepEqual(
    all.filter((name) => !compared.has(name)),
    [],
  );
  assert.deepEqual(
    [...compared].filter((name) => !all.includes(name)),
    [],
  );
});
