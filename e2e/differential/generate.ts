/** Random sequences of instructions and the states they start in. */
import { FLAG } from '../../src/hypervisor/soft/architecture.ts';
import { DECODE_TOO_LONG, decode } from '../../src/hypervisor/soft/decode/decode.ts';
import { type CodeSize, Insn, OPERAND } from '../../src/hypervisor/soft/decode/insn.ts';
import { OPCODES, OPS } from '../../src/hypervisor/soft/decode/opcodes.ts';
import { encode, type Roles, shapeOf } from './encode.ts';
import {
  branchSizeDiffers,
  excluded,
  hostDiffers,
  isTranscendental,
  storesLastInstruction,
  usesX87,
} from './excluded.ts';
import { flagEffects } from './flag-effects.ts';
import { CODE, DATA, MAX_CODE, MEMORY_PAGES, PAGE, STACK } from './layout.ts';
import type { Random } from './random.ts';
import { moderateDouble, randomFxsave, specialDouble } from './random-fpu.ts';
import { selfModifyingOffset, selfModifyingSteps } from './self-modifying.ts';
import type { State, Step, TestCase } from './test-case.ts';

const RCX = 1;
const RSP = 4;
/** A segment override (CS) that 64-bit mode ignores. */
const IGNORED_PREFIX = 0x2e;
const SPECIAL = [
  ...[0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn],
  ...[0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_fffen],
  ...[0xffff_ffff_8000_0000n, 0x1_0000_0000n, 0xffn << 56n, 0x0101_0101_0101_0101n, 0x8080_8080_8080_8080n],
];

/** Rows of the table that a generator may use, by operation; each operation is as likely as any other. */
export class Rows {
  readonly ops: readonly string[];
  /** All that can be tested. */
  readonly complete: boolean;
  readonly #rows = new Map<string, { row: (typeof OPCODES)[number]; shape: ReturnType<typeof shapeOf> }[]>();

  constructor(codeSize: CodeSize, only?: ReadonlySet<string>) {
    for (const row of OPCODES) {
      const [, op, , flags = ''] = row;
      if (excluded(op) !== undefined || (only !== undefined && !only.has(op))) continue;
      const words = flags.split(' ');
      if (words.includes(codeSize === 8 ? 'i64' : 'o64') || (codeSize !== 8 && words.includes('w1'))) continue;
      const list = this.#rows.get(op) ?? [];
      list.push({ row, shape: shapeOf(row) });
      this.#rows.set(op, list);
    }
    this.complete = only === undefined;
    this.ops = [...this.#rows.keys()];
  }

  pick(random: Random) {
    return random.pick(this.#rows.get(random.pick(this.ops))!);
  }
}

export class Generator {
  readonly #random: Random;
  readonly #rows: Rows;
  readonly #codeSize: CodeSize;
  readonly #insn = new Insn();

  constructor(random: Random, rows: Rows, codeSize: CodeSize) {
    this.#random = random;
    this.#rows = rows;
    this.#codeSize = codeSize;
  }

  next(): TestCase {
    const random = this.#random;
    const roles = chooseRoles(random, this.#codeSize);
    if (this.#rows.complete && this.#codeSize === 8 && random.chance(0.03)) return this.#selfModifying(roles);
    const count = random.chance(0.4) ? 1 : 1 + random.below(6);
    const steps: Step[] = [];
    let undefinedFlags = 0;
    for (let tries = 0; steps.length < count && tries < 100; tries++) {
      const step = this.#step(roles, steps.length, count, undefinedFlags);
      if (step === undefined || !canFollow(steps, step.op)) continue;
      steps.push(step);
      undefinedFlags = undefinedAfter(undefinedFlags, this.#insn, steps);
    }
    const size = steps.reduce((sum, step) => sum + step.bytes.length, 0);
    const offset = random.chance(0.15) ? PAGE - random.below(Math.min(size + 1, MAX_CODE)) : random.below(PAGE - 512);
    const state = this.#state(roles, offset, size);
    return { steps, offset, codeSize: this.#codeSize, state };
  }

  #selfModifying(roles: Roles): TestCase {
    const steps = selfModifyingSteps(this.#random);
    const size = steps.reduce((sum, step) => sum + step.bytes.length, 0);
    const offset = selfModifyingOffset(this.#random, size);
    const state = this.#state(roles, offset, size);
    return { steps, offset, codeSize: this.#codeSize, state, selfModifying: true };
  }

  /** One instruction; undefined if what came out cannot be used. `this.#insn` is it. */
  #step(roles: Roles, index: number, count: number, undefinedFlags: number): Step | undefined {
    const random = this.#random;
    const insn = this.#insn;
    const { row, shape } = this.#rows.pick(random);
    const op = row[1];
    const { bytes, relative } = encode(random, row, shape, this.#codeSize, roles);
    const padding = relative === undefined && op !== 'ud' && random.chance(0.02) ? random.below(14) : 0;
    const all = Uint8Array.from([...Array.from({ length: padding }, () => IGNORED_PREFIX), ...bytes]);
    const length = decode(all, 0, all.length, this.#codeSize, insn);
    // The host needs all of an instruction that is too long to be sure that it is.
    if (branchSizeDiffers(op) && bytes.includes(0x66)) return undefined;
    if (length === DECODE_TOO_LONG && padding > 0) return { bytes: all, op: 'invalid' };
    if (length < 0) return undefined;
    if (length === 0) {
      // What is invalid here behind 0F may be an extension that the host has; with LOCK it is invalid on all.
      const everywhere = shape.opcode[0] !== 0x0f || all.subarray(0, 5).includes(0xf0);
      return everywhere && insn.op === 0 && random.chance(0.02) ? invalid(all, shape.usesModrm) : undefined;
    }
    if (OPS[insn.op] !== op) return undefined;
    const code = all.slice(0, length);
    if (hostDiffers(insn, code)) return undefined;
    if ((flagEffects(insn).reads & undefinedFlags) !== 0 || !this.#adjust(insn, code)) return undefined;
    const branch = branchOf(insn, row[2] ?? '', index, count, random);
    return {
      bytes: op === 'popf' ? this.#popImmediate(insn, code) : code,
      op,
      ...(branch === undefined ? {} : { branch }),
      ...(relative === undefined ? {} : { relative }),
    };
  }

  /** Changes what is undefined or endless. False if it cannot be used. */
  #adjust(insn: Insn, code: Uint8Array): boolean {
    const name = OPS[insn.op]!;
    const isDoubleShift = name === 'shld' || name === 'shrd';
    if (isDoubleShift && insn.a.size === 2) {
      if (insn.c.kind !== OPERAND.imm) return false; // CL is as random as the rest
      if ((insn.imm & 31) > 16) code[code.length - 1]! &= 0xef;
      decode(code, 0, code.length, this.#codeSize, insn);
    }
    if (name === 'bswap' && insn.a.size === 2) return false;
    return true;
  }

  /** POPF with an image pushed before it: TF and AC would trap in the harness, NT and ID would stay for later cases. */
  #popImmediate(insn: Insn, code: Uint8Array): Uint8Array {
    const image = this.#random.u32() & ~(FLAG.tf | FLAG.ac | FLAG.nt | FLAG.id);
    const bytes = [image & 0xff, (image >> 8) & 0xff, (image >> 16) & 0xff, image >>> 24];
    return Uint8Array.from(insn.opSize === 2 ? [0x66, 0x68, bytes[0]!, bytes[1]!, ...code] : [0x68, ...bytes, ...code]);
  }

  #state(roles: Roles, offset: number, size: number): State {
    const random = this.#random;
    const gpr = new BigUint64Array(16);
    for (let i = 0; i < 16; i++) gpr[i] = value(random);
    for (const i of roles.pointers) {
      const at = random.chance(0.05) ? 3 * PAGE - random.below(32) : 256 + random.below(2 * PAGE - 512);
      gpr[i] = BigInt(DATA + (random.chance(0.7) ? at & ~15 : at));
    }
    for (const i of roles.small) gpr[i] = BigInt(random.below(32));
    // Long repeated string instructions.
    if (roles.small.includes(RCX) && random.chance(0.1)) gpr[RCX] = BigInt(random.below(6000));
    if (random.chance(0.05)) gpr[random.below(16)] = BigInt(CODE + offset + random.below(size + 8));
    const top = random.chance(0.03) ? random.below(16) : random.chance(0.5) ? 2048 : 1024 + random.below(1024);
    gpr[RSP] = BigInt(STACK + (random.chance(0.03) ? PAGE - top : top));
    if (this.#codeSize !== 8) for (let i = 0; i < 16; i++) gpr[i] = i < 8 ? gpr[i]! & 0xffff_ffffn : 0n;
    let rflags = 0x202;
    for (const flag of [FLAG.cf, FLAG.pf, FLAG.af, FLAG.zf, FLAG.sf, FLAG.of]) if (random.chance(0.5)) rflags |= flag;
    if (random.chance(0.15)) rflags |= FLAG.df;
    return { gpr, rflags, fxsave: randomFxsave(random) };
  }
}

function invalid(bytes: Uint8Array, usesModrm: boolean): Step | undefined {
  // Whole encodings only: what is random after them is no part of the instruction.
  return usesModrm ? { bytes: bytes.slice(0, 15), op: 'invalid' } : undefined;
}

/** Whether an instruction behind these has a result that does not depend on the CPU's model. */
function canFollow(steps: readonly Step[], op: string): boolean {
  if (steps.some((step) => step.op === 'fxsave')) return false; // MXCSR_MASK is in memory now
  if (storesLastInstruction(op)) return steps.every((step) => !usesX87(step.op));
  const approximated = steps.some((step) => isTranscendental(step.op));
  return !approximated || !(usesX87(op) || /^(p|mov|cvt|maskmov)/.test(op));
}

/** Which registers sequences may use in addresses. RSI, RDI and RBX are among the pointers most of the time. */
function chooseRoles(random: Random, codeSize: CodeSize): Roles {
  const pointers: number[] = [];
  const small: number[] = [];
  for (let i = 0; i < (codeSize === 8 ? 16 : 8); i++) {
    if (i === RSP) continue;
    const usual = i === 6 || i === 7 || i === 3;
    if (random.chance(usual ? 0.8 : 0.3)) pointers.push(i);
    else if (random.chance(i === 1 ? 0.7 : 0.3)) small.push(i);
  }
  if (pointers.length === 0) pointers.push(3);
  if (small.length === 0) small.push(pointers.includes(1) ? 0 : 1);
  return { pointers, small };
}

function value(random: Random): bigint {
  const kind = random.below(10);
  if (kind < 4) return random.pick(SPECIAL);
  if (kind < 5) return BigInt(random.below(64));
  if (kind < 6) return (random.pick(SPECIAL) + BigInt(random.below(5) - 2)) & 0xffff_ffff_ffff_ffffn;
  return random.u64();
}

function branchOf(insn: Insn, operands: string, index: number, count: number, random: Random): Step['branch'] {
  if (insn.a.kind !== OPERAND.rel) return undefined;
  const to = index + 1 + random.below(count - index);
  return { to, size: operands === 'Jb' ? 1 : 4 };
}

/** Flags that are undefined after an instruction. Once a branch may have skipped others, nothing is certain any more. */
export function undefinedAfter(before: number, insn: Insn, steps: readonly Step[]): number {
  const { defines, undefines } = flagEffects(insn);
  const certain = steps.every((step) => step.branch === undefined);
  return (certain ? before & ~defines : before) | undefines;
}

function memoryValue(random: Random): bigint {
  switch (random.below(10)) {
    case 0:
      return BigInt(CODE + random.below(2 * PAGE));
    case 1:
      return BigInt(DATA + random.below(2 * PAGE));
    case 2:
      return moderateDouble(random);
    case 3:
      return specialDouble(random);
    default:
      return value(random);
  }
}

/** Memory for a batch: random, with numbers that instructions care for, and addresses. */
export function randomMemory(random: Random): Uint8Array {
  const memory = new Uint8Array(MEMORY_PAGES * PAGE);
  const view = new DataView(memory.buffer);
  for (let at = 0; at < memory.length; at += 8) {
    view.setBigUint64(at, memoryValue(random), true);
  }
  return memory;
}
