import { type Instruction, OpKind } from 'iced-x86';
import type { OpName } from './opcodes.ts';

/** What the decoder should say of an instruction that iced-x86 names otherwise or says in its operands. */
export interface Expected {
  name: string;
  cc: number;
  /** 0 where the operands show it. */
  opSize: number;
  /** 0 where the operands show it. */
  addrSize: number;
  /** Operands of iced that ours does not have. */
  implied: readonly number[];
  /** To iced it is an instruction of a feature that we lack, to us an older one: prefix and operands differ. */
  alias: boolean;
}

/** Instructions that use 16 bits of a register whose wider name iced gives. */
export const UNCHECKED_REGISTER_SIZE: ReadonlySet<OpName> = new Set<OpName>([
  'lar',
  'lsl',
  'lldt',
  'ltr',
  'verr',
  'verw',
  'movToSeg',
  'lmsw',
  'arpl',
]);

const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const WIDTHS: Readonly<Record<string, number>> = { b: 1, w: 2, d: 4, q: 8 };

const RENAMED: Readonly<Record<string, string>> = {
  sal: 'shl',
  cwde: 'cbw',
  cdqe: 'cbw',
  cdq: 'cwd',
  cqo: 'cwd',
  retf: 'retFar',
  iretd: 'iret',
  iretq: 'iret',
  pushad: 'pusha',
  popad: 'popa',
  pushaw: 'pusha',
  popaw: 'popa',
  pushfd: 'pushf',
  pushfq: 'pushf',
  popfd: 'popf',
  popfq: 'popf',
  jecxz: 'jcxz',
  jrcxz: 'jcxz',
  xlatb: 'xlat',
  wait: 'fwait',
  ud0: 'ud',
  ud1: 'ud',
  ud2: 'ud',
  vmmcall: 'vmcall',
  vmgexit: 'vmcall',
  endbr32: 'nop',
  endbr64: 'nop',
  reservednop: 'nop',
  rdsspd: 'nop',
  rdsspq: 'nop',
  cldemote: 'nop',
  lzcnt: 'bsr',
  tzcnt: 'bsf',
  wbnoinvd: 'wbinvd',
  fxsave64: 'fxsave',
  fxrstor64: 'fxrstor',
  sysretq: 'sysret',
  sysexitq: 'sysexit',
  fstpnce: 'fstp',
  fneni: 'fnop',
  fndisi: 'fnop',
  fnsetpm: 'fnop',
  pextrq: 'pextrd',
  pinsrq: 'pinsrd',
  pcmpestri64: 'pcmpestri',
  pcmpestrm64: 'pcmpestrm',
  fstdw: 'fnstsw',
  fstsg: 'fnstsw',
};

const ALIASES = /^(reservednop|rdssp[dq]|endbr(32|64)|cldemote|wbnoinvd|vmgexit|bnd.*|prefetch.*)$/;

/** Operand sizes that only the name of iced's code tells: Iretq, Enterw_imm16_imm8, ... */
const SIZED = /^(Iret|Ret|Retf|Pusha|Popa|Pushf|Popf|Enter|Leave|Push|Pop)([wdq])(_|$)/;
const COUNTERS: Readonly<Record<string, number>> = { CX: 2, ECX: 4, RCX: 8 };

export function expectedName(mnemonic: string, code: string, iced: Instruction): Expected {
  const expected: Expected = {
    name: RENAMED[mnemonic] ?? mnemonic,
    cc: 0,
    opSize: 0,
    addrSize: 0,
    implied: [],
    alias: ALIASES.test(mnemonic),
  };
  const string = /^(movs|cmps|scas|lods|stos|ins|outs)([bwdq])$/.exec(mnemonic);
  const conditional = /^(j|set|cmov)([a-z]{1,2})$/.exec(mnemonic);
  if (string && usesString(iced)) {
    expected.name = string[1]!;
    expected.opSize = WIDTHS[string[2]!]!;
    expected.implied = [0, 1];
  } else if (conditional && CONDITIONS.includes(conditional[2]!)) {
    expected.name = `${conditional[1]}cc`;
    expected.cc = CONDITIONS.indexOf(conditional[2]!);
  } else if (mnemonic === 'xlatb') {
    expected.implied = [0];
  } else if (mnemonic.startsWith('maskmov')) {
    expected.implied = [0];
  } else if (/^(call|jmp)$/.test(mnemonic)) {
    expected.name = branchName(mnemonic, code, iced);
  } else if (mnemonic === 'imul' && iced.opCount === 1) {
    expected.name = 'imul1';
  } else if (/^(bnd|prefetch)/.test(mnemonic)) {
    expected.name = 'nop';
  } else if (/^(mov|push|pop)$/.test(mnemonic)) {
    expected.name = specialRegisterName(mnemonic, code);
  } else if (/^Movq_(mm|xmm)_rm64$|^Movq_rm64_(mm|xmm)$/.test(code)) {
    expected.name = 'movd';
  }
  const sized = SIZED.exec(code);
  if (sized) expected.opSize = WIDTHS[sized[2]!]!;
  const counter = /_([ER]?CX)$/.exec(code);
  if (counter) expected.addrSize = COUNTERS[counter[1]!]!;
  return expected;
}

function usesString(iced: Instruction): boolean {
  for (let i = 0; i < iced.opCount; i++)
    if (iced.opKind(i) >= OpKind.MemorySegSI && iced.opKind(i) <= OpKind.MemoryESRDI) return true;
  return false;
}

function branchName(mnemonic: string, code: string, iced: Instruction): string {
  const kind = iced.op0Kind;
  if (kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32) return `${mnemonic}Far`;
  if (kind !== OpKind.Register && kind !== OpKind.Memory) return mnemonic;
  return /_m16(16|32|64)$/.test(code) ? `${mnemonic}FarIndirect` : `${mnemonic}Indirect`;
}

function specialRegisterName(mnemonic: string, code: string): string {
  if (mnemonic !== 'mov') return /_(ES|CS|SS|DS|FS|GS)$|[wdq]_[EDSCFG]S$/.test(code) ? `${mnemonic}Seg` : mnemonic;
  if (/_Sreg$/.test(code)) return 'movFromSeg';
  if (/^Mov_Sreg/.test(code)) return 'movToSeg';
  const register = /_(cr|dr)(_|$)/.exec(code);
  if (!register) return mnemonic;
  const kind = register[1] === 'cr' ? 'Cr' : 'Dr';
  return /_(cr|dr)$/.test(code) ? `movFrom${kind}` : `movTo${kind}`;
}
