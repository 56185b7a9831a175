/** Every x87 instruction, compared with the host's own CPU over special and random operands, states and modes. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { OP, type OpName } from '../decode/opcodes.ts';
import { CPU, CPU_SIZE, SLOT } from '../state.ts';
import { NO_STORE, X87, X87_INSTRUCTIONS } from './x87.ts';
import { argument80, ENCODINGS, type Encoding, memoryOperand, operand80, Random } from './x87-cases.ts';
import { hostMissing, runOnHost, STATE } from './x87-host.ts';

const SEED = Number(process.env['X87_SEED'] ?? 1);
/** Cases of each encoding. */
const ROUNDS = Number(process.env['X87_ROUNDS'] ?? 250);

/** Instructions whose last place is the processor's own; what they share with others is compared exactly. */
const APPROXIMATE = new Set(['f2xm1', 'fyl2x', 'fyl2xp1', 'fsin', 'fcos', 'fsincos', 'fptan', 'fpatan']);
/** Instructions that move whole images. */
const IMAGES = new Set(['fldenv', 'fnstenv', 'frstor', 'fnsave']);
const RFLAGS = 0x8d5;
/** In an FXSAVE image. */
const FX = { control: 0, status: 2, tags: 4, mxcsr: 24, st: 32, end: 416 } as const;
const FORMAT = { wide: true, code64: true } as const;

const tried = new Set<string>();

function writeState(random: Random, encoding: Encoding, image: DataView): void {
  const masks = random.below(3) === 0 ? random.below(0x40) : 0x3f;
  image.setUint16(FX.control, masks | 0x40 | (random.pick([0, 2, 3, 3, 3]) << 8) | (random.below(4) << 10), true);
  const sticky = random.below(2) === 0 ? random.below(0x80) & (masks | 0x40) : 0;
  image.setUint16(FX.status, (random.below(0x80) << 8) | sticky, true);
  image.setUint8(
    FX.tags,
    random.below(4) === 0 ? random.below(0x100) : encodingPushes(encoding) ? freeTop(image) : 0xff,
  );
  // This alias of FSTP does not look whether its source is empty.
  if (encoding.name === 'fstp' && encoding.bytes[0] === 0xd9 && encoding.size === 0) image.setUint8(FX.tags, 0xff);
  image.setUint32(FX.mxcsr, 0x1f80, true);
  for (let n = 0; n < 8; n++) {
    const [high, low] = APPROXIMATE.has(encoding.name) ? argument80(random) : operand80(random);
    image.setBigUint64(FX.st + 16 * n, low, true);
    image.setUint16(FX.st + 16 * n + 8, high, true);
  }
  if (random.below(6) === 0) {
    // Operands close to each other.
    const low = image.getBigUint64(FX.st, true) ^ BigInt(random.below(4));
    image.setBigUint64(FX.st + 16, low, true);
    image.setUint16(FX.st + 24, image.getUint16(FX.st + 8, true) ^ (random.below(2) << 15), true);
  }
  for (let n = FX.st + 128; n < FX.end; n += 8) image.setBigUint64(n, random.bits64(), true);
}

function encodingPushes({ name }: Encoding): boolean {
  return /^(fld|fild|fbld|fptan|fsincos|fxtract)/.test(name);
}

/** All registers but the one that a push writes. */
function freeTop(image: DataView): number {
  const top = (image.getUint16(FX.status, true) >> 11) & 7;
  return 0xff & ~(1 << ((top + 7) & 7));
}

/** The cases of all encodings, as the host takes them. */
function makeCases(encodings: readonly Encoding[]): { encoding: Encoding; index: number; state: DataView }[] {
  const random = new Random(SEED);
  const bytes = new Uint8Array(encodings.length * ROUNDS * STATE.size);
  return encodings.flatMap((encoding, row) =>
    Array.from({ length: ROUNDS }, (_, round) => {
      const state = new DataView(bytes.buffer, (row * ROUNDS + round) * STATE.size, STATE.size);
      const index = encoding.operands.includes('STi') ? random.below(8) : 0;
      writeState(random, encoding, state);
      state.setUint8(STATE.code, encoding.bytes[0]);
      state.setUint8(STATE.code + 1, encoding.bytes[1] + index);
      for (let n = 2; n < 8; n++) state.setUint8(STATE.code + n, 0xc3);
      state.setBigUint64(STATE.flags, BigInt(0x202 | (random.below(0x1000) & RFLAGS)), true);
      const isFloat = !encoding.name.startsWith('fi');
      const [low, high] = memoryOperand(random, encoding.size, isFloat);
      state.setBigUint64(STATE.memory, low, true);
      state.setBigUint64(STATE.memory + 8, BigInt(high), true);
      if (encoding.name === 'fldcw') state.setUint16(STATE.memory, random.below(0x10000) | 0x3f, true);
      return { encoding, index, state };
    }),
  );
}

/** Executes a case here, changing the state as the host does. */
function runHere({ encoding, index, state }: { encoding: Encoding; index: number; state: DataView }): void {
  const memory = new DataView(new ArrayBuffer(CPU_SIZE));
  const x87 = new X87(memory, 0);
  assert.equal(x87.fxrstor(state, FORMAT), 0);
  setFlags(memory, state.getUint32(STATE.flags, true));
  const { size, operands } = encoding;
  const mask = (1n << BigInt(Math.min(size, 8) * 8)) - 1n;
  memory.setBigUint64(SLOT.t1, state.getBigUint64(STATE.memory, true) & mask, true);
  memory.setBigUint64(SLOT.t2, size > 8 ? state.getBigUint64(STATE.memory + 8, true) & 0xffffn : 0n, true);
  const a = operands.startsWith('STi') ? index : 0;
  const b = operands.endsWith(' STi') ? index : 0;
  const op = OP[encoding.name as OpName];
  assert.equal(x87.check(op), 0);
  const outcome = x87.execute(op, a, b, size);
  if (outcome !== NO_STORE) {
    for (let n = 0; n < Math.min(size, 8); n++) state.setUint8(STATE.memory + n, memory.getUint8(SLOT.t1 + n));
    for (let n = 8; n < size; n++) state.setUint8(STATE.memory + n, memory.getUint8(SLOT.t2 + n - 8));
    if (operands === 'AX') state.setUint16(STATE.rax, memory.getUint16(SLOT.t1, true), true);
  }
  state.setUint32(STATE.flags, (state.getUint32(STATE.flags, true) & ~RFLAGS) | getFlags(memory), true);
  x87.fxsave(state, FORMAT);
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
  const zf = result === 0n ? 0x40 : 0;
  return (carry >>> 31) | (odd === 0 ? 4 : 0) | (other & 0x10) | zf | (sf << 7) | (of << 11);
}

function registers(image: DataView): bigint[] {
  return Array.from(
    { length: 8 },
    (_, n) => (BigInt(image.getUint16(FX.st + 16 * n + 8, true)) << 64n) | image.getBigUint64(FX.st + 16 * n, true),
  );
}

function memoryOf(state: DataView): string {
  return Buffer.from(state.buffer, state.byteOffset + STATE.memory, 16).toString('hex');
}

/** What there is to see of a state; of approximate instructions without C1 and PE. */
function visible(state: DataView, name: string): Record<string, string> {
  const hex = (value: number): string => value.toString(16);
  const precisionMasked = (state.getUint16(FX.control, true) & 0x20) !== 0;
  const own = APPROXIMATE.has(name) ? (precisionMasked ? 0x220 : 0x82a0) : 0;
  return {
    control: hex(state.getUint16(FX.control, true)),
    status: hex(state.getUint16(FX.status, true) & ~own),
    tags: hex(state.getUint8(FX.tags)),
    flags: hex(state.getUint32(STATE.flags, true) & RFLAGS),
    rax: hex(state.getUint16(STATE.rax, true)),
    memory: memoryOf(state),
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
function difference(before: DataView, here: DataView, host: DataView, name: string): string | undefined {
  const mine = { ...visible(here, name), st: registers(here).map((x) => x.toString(16)) };
  const theirs = { ...visible(host, name), st: registers(host).map((x) => x.toString(16)) };
  const theirRegisters = registers(host);
  const same = registers(here).every((x, n) => registersAgree(x, theirRegisters[n]!, name));
  if (same) theirs.st = mine.st;
  if (JSON.stringify(mine) === JSON.stringify(theirs)) return undefined;
  const given = { ...visible(before, name), st: registers(before).map((x) => x.toString(16)) };
  const lines = Object.keys(mine).map((key) => {
    const [was, is, wanted] = [given, mine, theirs].map((s) => String(s[key as keyof typeof mine]));
    return is === wanted ? `  ${key}: ${was}` : `  ${key}: ${was}\n    here ${is}\n    host ${wanted}`;
  });
  return `${name}\n${lines.join('\n')}`;
}

const missing = hostMissing();
test('instructions do what the host does', { skip: missing === undefined ? false : missing }, () => {
  const only = process.env['X87_ONLY']?.split(',');
  const cases = makeCases(ENCODINGS.filter(({ name }) => !IMAGES.has(name) && (only?.includes(name) ?? true)));
  const first = cases[0]!.state;
  const before = new Uint8Array(first.buffer).slice();
  const host = runOnHost(before);
  const failures = new Map<string, string[]>();
  for (const one of cases) {
    const { encoding, state } = one;
    runHere(one);
    tried.add(encoding.name);
    const at = (bytes: Uint8Array): DataView =>
      new DataView(bytes.buffer, bytes.byteOffset + state.byteOffset, STATE.size);
    const text = difference(at(before), state, at(host), encoding.name);
    if (text !== undefined) failures.set(encoding.name, [...(failures.get(encoding.name) ?? []), text]);
  }
  const summary = [...failures].map(
    ([name, texts]) =>
      `${name}: ${texts.length} differ, first:\n${texts.slice(0, Number(process.env['X87_SHOW'] ?? 1)).join('\n')}`,
  );
  if (process.env['X87_SHOW']) process.stderr.write(summary.join('\n'));
  assert.equal(summary.join('\n'), '');
});
