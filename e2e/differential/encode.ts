/** Random encodings of a row of the opcode table, with operands in memory where the sequences have some. */
import type { CodeSize } from '../../src/hypervisor/soft/decode/insn.ts';
import type { OpcodeRow } from '../../src/hypervisor/soft/decode/opcode-row.ts';
import { DATA, FS_BASE, PAGE } from './layout.ts';
import type { Random } from './random.ts';
import type { Step } from './test-case.ts';

/** What registers hold at the start, as far as addresses need to know. */
export interface Roles {
  /** Registers with an address in the data pages. */
  readonly pointers: readonly number[];
  /** Registers with a small number. */
  readonly small: readonly number[];
}

/** Bytes of an encoding, without knowing its length: what stands after ModRM is random and to be cut off. */
export interface Encoding {
  readonly bytes: number[];
  readonly relative?: Step['relative'];
}

interface Shape {
  readonly prefix: number;
  readonly opcode: readonly number[];
  readonly run: number;
  readonly digit: number;
  readonly modrm: number;
  readonly usesModrm: boolean;
  readonly memory: boolean;
  readonly register: boolean;
  readonly offset: boolean;
  readonly size: number;
}

const SIZES: Readonly<Record<string, number>> = { b: 1, w: 2, d: 4, q: 8, x: 16, k: 512, t: 16 };

/** Takes a row apart as opcode-row.ts describes it. */
export function shapeOf(row: OpcodeRow): Shape {
  const tokens = row[0].split(' ');
  const operands = (row[2] ?? '').split(' ').filter((token) => token !== '');
  const prefix = { np: 0, '66': 0x66, f2: 0xf2, f3: 0xf3 }[tokens[0]!];
  if (prefix !== undefined && tokens.length > 1) tokens.shift();
  const opcode: number[] = [];
  let [digit, modrm, run, memory, register] = [-1, -1, 1, true, true];
  for (const token of tokens) {
    if (token === 'reg') memory = false;
    else if (token.startsWith('/')) digit = Number(token.slice(1));
    else if (opcode.length > 0 && !isEscape(opcode)) modrm = Number.parseInt(token, 16);
    else {
      if (token.endsWith('+r')) run = 8;
      if (token.endsWith('+cc')) run = 16;
      opcode.push(Number.parseInt(token, 16));
    }
  }
  if (operands.some((token) => /^M/.test(token))) register = false;
  if (operands.some((token) => /^[RUNH]|STi/.test(token))) memory = false;
  const usesModrm = digit >= 0 || operands.some((token) => /^([ERMHGWUVQNPCD][a-z]?|Sw|STi)$/.test(token));
  const inMemory = operands.find((token) => /^[EMWQ]/.test(token));
  const size = SIZES[inMemory?.[1] ?? ''] ?? 8;
  const offset = operands.some((token) => token.startsWith('O'));
  return { prefix: prefix ?? 0, opcode, run, digit, modrm, usesModrm, memory, register, offset, size };
}

/** After 0f, 0f 38 and 0f 3a the opcode goes on. */
function isEscape(opcode: readonly number[]): boolean {
  if (opcode[0] !== 0x0f) return false;
  return opcode.length === 1 || (opcode.length === 2 && (opcode[1] === 0x38 || opcode[1] === 0x3a));
}

export function encode(random: Random, row: OpcodeRow, shape: Shape, codeSize: CodeSize, roles: Roles): Encoding {
  const flags = (row[3] ?? '').split(' ');
  const prefixes = choosePrefixes(random, row[1], shape, flags.includes('lock'));
  let rex = codeSize === 8 && random.chance(0.5) ? 0x40 | random.below(16) : 0;
  if (flags.includes('w1')) rex |= 0x48;
  const opcode = [...shape.opcode];
  opcode[opcode.length - 1]! += random.below(shape.run);
  const tail: number[] = [];
  let relativeTo: number | undefined;
  let hasRelative = false;
  if (shape.modrm >= 0) tail.push(shape.modrm);
  else if (shape.usesModrm) {
    const reg = shape.digit >= 0 ? shape.digit : random.below(8);
    const useMemory = shape.memory && (!shape.register || random.chance(0.5));
    if (!useMemory) tail.push(0xc0 | (reg << 3) | random.below(8));
    else {
      const address = chooseAddress(random, shape.size, codeSize, roles, prefixes);
      if (codeSize === 8 && address.rex !== 0) rex = (rex & 0x4c) | 0x40 | address.rex;
      else if (codeSize === 8 && rex !== 0) rex &= ~3;
      tail.push((address.bytes[0]! & 0xc7) | (reg << 3), ...address.bytes.slice(1));
      relativeTo = address.relativeTo;
      hasRelative = relativeTo !== undefined;
    }
  } else if (shape.offset) {
    const at = codeSize === 8 ? 8 : 4;
    const to = DATA + random.below(2 * PAGE);
    for (let i = 0; i < at; i++) tail.push(i < 4 ? (to >>> (8 * i)) & 0xff : 0);
  }
  const head = [...prefixes, ...(rex !== 0 ? [rex] : []), ...opcode];
  const bytes = [...head, ...tail, ...immediate(random)];
  if (!hasRelative) return { bytes };
  return { bytes, relative: { to: relativeTo!, at: head.length + 1 } };
}

function choosePrefixes(random: Random, op: string, shape: Shape, lockable: boolean): number[] {
  const prefixes: number[] = shape.prefix === 0 ? [] : [shape.prefix];
  const is = (p: number) => random.chance(p);
  if (shape.prefix !== 0x66 && is(shape.prefix === 0 ? 0.2 : 0.03)) prefixes.push(0x66);
  if (is(0.06)) prefixes.push(0x67);
  if (is(0.06)) prefixes.push(is(0.5) ? 0x64 : 0x65);
  if (is(0.03)) prefixes.push(random.pick([0x26, 0x2e, 0x36, 0x3e]));
  if (is(lockable ? 0.2 : 0.01)) prefixes.push(0xf0);
  const isString = /^(movs|cmps|scas|lods|stos)$/.test(op);
  if (shape.prefix < 0xf2 && is(isString ? 0.6 : 0.02)) prefixes.push(is(0.5) ? 0xf2 : 0xf3);
  for (let i = prefixes.length - 1; i > 0; i--) {
    const k = random.below(i + 1);
    [prefixes[i], prefixes[k]] = [prefixes[k]!, prefixes[i]!];
  }
  return prefixes;
}

interface ChosenAddress {
  /** ModRM without its reg field, SIB, displacement. */
  readonly bytes: number[];
  /** REX.X and REX.B. */
  readonly rex: number;
  readonly relativeTo?: number;
}

function chooseAddress(
  random: Random,
  size: number,
  codeSize: CodeSize,
  roles: Roles,
  prefixes: readonly number[],
): ChosenAddress {
  const kind = random.below(100);
  const displacement = smallDisplacement(random, size);
  if (kind < 5) return wild(random, codeSize);
  const segmented = prefixes.includes(0x64) || prefixes.includes(0x65);
  if (kind < 13) {
    const target = segmented ? displacement + 64 : DATA + align(random.below(2 * PAGE), random, size);
    if (codeSize === 8 && kind < 9) {
      return { bytes: [0x05, 0, 0, 0, 0], rex: 0, relativeTo: segmented ? target - FS_BASE : target };
    }
    return codeSize === 8
      ? { bytes: [0x04, 0x25, ...word(target)], rex: 0 }
      : { bytes: [0x05, ...word(target)], rex: 0 };
  }
  const base = random.pick(segmented ? roles.small : roles.pointers);
  if (kind < 35) return withIndex(random, base, random.pick(roles.small), displacement);
  return withBase(random, base, displacement);
}

function withBase(random: Random, base: number, displacement: number): ChosenAddress {
  const low = base & 7;
  const sib = low === 4 ? [0x24] : [];
  const rex = base >> 3;
  if (displacement === 0 && low !== 5 && random.chance(0.7)) return { bytes: [low, ...sib], rex };
  const short = displacement >= -128 && displacement < 128 && random.chance(0.6);
  if (short) return { bytes: [0x40 | low, ...sib, displacement & 0xff], rex };
  return { bytes: [0x80 | low, ...sib, ...word(displacement)], rex };
}

function withIndex(random: Random, base: number, index: number, displacement: number): ChosenAddress {
  const sib = (random.below(4) << 6) | ((index & 7) << 3) | (base & 7);
  const rex = (base >> 3) | ((index >> 3) << 1);
  const short = displacement >= -128 && displacement < 128 && random.chance(0.7);
  return { bytes: short ? [0x44, sib, displacement & 0xff] : [0x84, sib, ...word(displacement)], rex };
}

function wild(random: Random, codeSize: CodeSize): ChosenAddress {
  const bytes = [random.below(0xc0) & 0xc7, random.below(256)];
  for (let i = 0; i < 4; i++) bytes.push(random.chance(0.5) ? random.below(256) : 0);
  const isRelative = codeSize === 8 && (bytes[0]! & 0xc7) === 5;
  return { bytes, rex: random.below(4), ...(isRelative ? { relativeTo: DATA + random.below(PAGE) } : {}) };
}

function align(value: number, random: Random, size: number): number {
  return size === 16 && random.chance(0.8) ? value & ~15 : value;
}

function smallDisplacement(random: Random, size: number): number {
  if (random.chance(0.3)) return 0;
  const range = random.chance(0.7) ? 128 : 1024;
  return align(random.below(2 * range) - range, random, size);
}

function word(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}

/** More bytes than any immediate has. */
function immediate(random: Random): number[] {
  const kind = random.below(4);
  const bytes: number[] = [];
  for (let i = 0; i < 8; i++) {
    bytes.push(kind === 0 ? 0xff : kind === 1 && i > 0 ? 0 : kind === 2 && i === 7 ? 0x80 : random.below(256));
  }
  return bytes;
}
