import { type Insn, NO_REGISTER, OPERAND, type Operand, RIP, SEG } from './insn.ts';
import { OP, OPS } from './opcodes.ts';

const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const LEGACY = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh'];
const SUFFIXES: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' };
const POINTERS: Readonly<Record<number, string>> = {
  1: 'byte ptr ',
  2: 'word ptr ',
  4: 'dword ptr ',
  6: 'fword ptr ',
  8: 'qword ptr ',
  10: 'tbyte ptr ',
  16: 'xmmword ptr ',
};
const STRING_OPS = /^(movs|cmps|scas|lods|stos|ins|outs)$/;

/**
 * The text of an instruction in Intel syntax, for people: names are those of OPS, with the condition or the width of string instructions
 * added. `ip` is the address of the instruction; branch targets and RIP-relative addresses are absolute.
 */
export function formatInsn(insn: Insn, ip: bigint): string {
  if (insn.op === OP.invalid) return 'invalid';
  const next = ip + BigInt(insn.length);
  const operands = [insn.a, insn.b, insn.c]
    .filter((operand) => operand.kind !== OPERAND.none)
    .map((operand) => formatOperand(insn, operand, next));
  if (insn.imm2 !== 0) operands.push(hex(BigInt(insn.imm2)));
  const prefix = insn.lock ? 'lock ' : insn.rep === 0xf2 ? 'repne ' : insn.rep === 0xf3 ? 'rep ' : '';
  return `${prefix}${mnemonic(insn)} ${operands.join(', ')}`.trimEnd();
}

function mnemonic(insn: Insn): string {
  const name = OPS[insn.op] ?? 'invalid';
  if (name.endsWith('cc')) return name.slice(0, -2) + CONDITIONS[insn.cc]!;
  return STRING_OPS.test(name) ? name + SUFFIXES[insn.opSize]! : name;
}

function formatOperand(insn: Insn, operand: Operand, next: bigint): string {
  switch (operand.kind) {
    case OPERAND.gpr:
      return gprName(operand.reg, operand.size);
    case OPERAND.mem:
      return (POINTERS[operand.size] ?? '') + formatAddress(insn, next);
    case OPERAND.imm:
      return hex(wide(insn.immHigh, insn.imm, operand.size));
    case OPERAND.rel:
      return hex(BigInt.asUintN(insn.opSize * 8, next + BigInt(insn.imm)));
    case OPERAND.far:
      return `${hex(BigInt(insn.immHigh))}:${hex(BigInt(insn.imm >>> 0))}`;
    case OPERAND.seg:
      return SEGMENTS[operand.reg]!;
    case OPERAND.st:
      return `st(${operand.reg})`;
    default:
      return `${{ [OPERAND.cr]: 'cr', [OPERAND.dr]: 'dr', [OPERAND.xmm]: 'xmm', [OPERAND.mmx]: 'mm' }[operand.kind]}${operand.reg}`;
  }
}

function gprName(reg: number, size: number): string {
  if (size === 1) return HIGH_BYTES[reg - 16] ?? BYTES[reg] ?? `r${reg}b`;
  if (reg >= 8) return `r${reg}${size === 2 ? 'w' : size === 4 ? 'd' : ''}`;
  return `${size === 8 ? 'r' : size === 4 ? 'e' : ''}${LEGACY[reg]}`;
}

function formatAddress(insn: Insn, next: bigint): string {
  const terms: string[] = [];
  let disp = wide(insn.dispHigh, insn.disp, insn.addrSize);
  if (insn.base === RIP) disp = BigInt.asUintN(insn.addrSize * 8, next + disp);
  else if (insn.base !== NO_REGISTER) terms.push(gprName(insn.base, insn.addrSize));
  if (insn.index !== NO_REGISTER) {
    terms.push(gprName(insn.index, insn.addrSize) + (insn.scale === 0 ? '' : `*${1 << insn.scale}`));
  }
  let text = terms.join('+');
  const signed = BigInt.asIntN(insn.addrSize * 8, disp);
  if (text === '') text = hex(disp);
  else if (signed !== 0n) text += signed < 0n ? `-${hex(-signed)}` : `+${hex(signed)}`;
  const segment = insn.seg === SEG.ds || insn.seg === SEG.ss ? '' : `${SEGMENTS[insn.seg]}:`;
  return `${segment}[${text}]`;
}

/** The number of `size` bytes in two signed halves. */
function wide(high: number, low: number, size: number): bigint {
  return BigInt.asUintN(size * 8, (BigInt(high) << 32n) | BigInt(low >>> 0));
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
