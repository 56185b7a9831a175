/** Which flags instructions read, define and leave undefined (Intel SDM vol. 1, appendix A, and the pages of vol. 2). */
import { ARITHMETIC_FLAGS, FLAG } from '../../src/hypervisor/soft/architecture.ts';
import { type Insn, OPERAND } from '../../src/hypervisor/soft/decode/insn.ts';
import { OPS } from '../../src/hypervisor/soft/decode/opcodes.ts';

export interface FlagEffects {
  readonly reads: number;
  /** Written in every case, with a defined value. */
  readonly defines: number;
  readonly undefines: number;
}

const { cf, pf, af, zf, sf, of } = FLAG;
const ALL = ARITHMETIC_FLAGS;
const CONDITIONS = [of, cf, zf, cf | zf, sf, pf, sf | of, sf | of | zf];

const NONE: FlagEffects = { reads: 0, defines: 0, undefines: 0 };
const arithmetic: FlagEffects = { reads: 0, defines: ALL, undefines: 0 };
const withCarry: FlagEffects = { reads: cf, defines: ALL, undefines: 0 };
const logic: FlagEffects = { reads: 0, defines: ALL & ~af, undefines: af };
const product: FlagEffects = { reads: 0, defines: cf | of, undefines: sf | zf | af | pf };
const bitTest: FlagEffects = { reads: 0, defines: cf, undefines: of | sf | af | pf };
const scan: FlagEffects = { reads: 0, defines: zf, undefines: cf | of | sf | af | pf };
const compareFloat: FlagEffects = { reads: 0, defines: ALL, undefines: 0 };
const setsFlags = (reads: number): FlagEffects => ({ reads, defines: 0, undefines: 0 });

const EFFECTS: Readonly<Record<string, FlagEffects>> = {
  ...{ add: arithmetic, sub: arithmetic, cmp: arithmetic, neg: arithmetic, cmps: NONE, scas: NONE },
  ...{ adc: withCarry, sbb: withCarry, xadd: arithmetic, cmpxchg: arithmetic },
  ...{ cmpxchg8b: setsFlags(0), cmpxchg16b: setsFlags(0) },
  ...{ and: logic, or: logic, xor: logic, test: logic },
  inc: { reads: 0, defines: ALL & ~cf, undefines: 0 },
  dec: { reads: 0, defines: ALL & ~cf, undefines: 0 },
  ...{ mul: product, imul1: product, imul: product },
  ...{ div: { ...NONE, undefines: ALL }, idiv: { ...NONE, undefines: ALL } },
  ...{ bt: bitTest, bts: bitTest, btr: bitTest, btc: bitTest, bsf: scan, bsr: scan },
  ...{ popcnt: arithmetic, ptest: arithmetic, cmc: setsFlags(cf), clc: { ...NONE, defines: cf } },
  ...{ stc: { ...NONE, defines: cf }, lahf: setsFlags(ALL & ~of), sahf: { ...NONE, defines: ALL & ~of } },
  ...{ pushf: setsFlags(ALL), popf: { ...NONE, defines: ALL }, salc: setsFlags(cf) },
  ...{ loope: setsFlags(zf), loopne: setsFlags(zf), into: setsFlags(of) },
  ...{ comiss: compareFloat, comisd: compareFloat, ucomiss: compareFloat, ucomisd: compareFloat },
  ...{ pcmpestri: arithmetic, pcmpestrm: arithmetic, pcmpistri: arithmetic, pcmpistrm: arithmetic },
  ...{ aaa: { reads: af, defines: af | cf, undefines: of | sf | zf | pf } },
  ...{ aas: { reads: af, defines: af | cf, undefines: of | sf | zf | pf } },
  ...{ aam: { ...NONE, defines: sf | zf | pf, undefines: of | af | cf } },
  ...{ aad: { ...NONE, defines: sf | zf | pf, undefines: of | af | cf } },
  ...{ daa: { reads: af | cf, defines: ALL & ~of, undefines: of } },
  ...{ das: { reads: af | cf, defines: ALL & ~of, undefines: of } },
};

export function flagEffects(insn: Insn): FlagEffects {
  const name = OPS[insn.op]!;
  if (name.endsWith('cc')) return setsFlags(CONDITIONS[insn.cc >> 1]!);
  if (name.startsWith('fcmov')) return setsFlags(cf | zf | pf);
  if (/^fu?comip?$/.test(name)) return { ...NONE, defines: cf | zf | pf };
  if (/^(shl|shr|sar|rol|ror|rcl|rcr)$/.test(name)) return shift(insn, name);
  if (name === 'shld' || name === 'shrd') return doubleShift(insn);
  return EFFECTS[name] ?? NONE;
}

/** A count in CL may be 0, which leaves the flags; OF is defined for a count of 1 only, CF within the operand's size. */
function shift(insn: Insn, name: string): FlagEffects {
  const bits = insn.a.size * 8;
  const count = insn.b.kind === OPERAND.imm ? insn.imm & (bits === 64 ? 63 : 31) : undefined;
  const rotates = name.startsWith('r');
  const reads = name === 'rcl' || name === 'rcr' ? cf : 0;
  if (count === 0) return { reads, defines: 0, undefines: 0 };
  let undefines = rotates ? 0 : af;
  if (count !== 1) undefines |= of;
  if (!rotates && name !== 'sar' && bits < 32 && (count === undefined || count >= bits)) undefines |= cf;
  const written = rotates ? cf | of : ALL;
  return { reads, defines: count === undefined ? 0 : written & ~undefines, undefines };
}

function doubleShift(insn: Insn): FlagEffects {
  const bits = insn.a.size * 8;
  const count = insn.c.kind === OPERAND.imm ? insn.imm & (bits === 64 ? 63 : 31) : undefined;
  if (count === 0) return NONE;
  const undefines = count === 1 ? af : af | of;
  return { reads: 0, defines: count === undefined ? 0 : ALL & ~undefines, undefines };
}
