/** Which function executes which of the instructions that reach TypeScript. */
import type { Insn } from '../decode/insn.ts';
import { OPS, type OpName } from '../decode/opcodes.ts';
import * as bcd from './bcd.ts';
import * as control from './control-registers.ts';
import { cpuid } from './cpuid.ts';
import { movFromDr, movToDr } from './debug.ts';
import * as far from './far-transfers.ts';
import { raiseIfVectorsUnavailable } from './fpu-instructions.ts';
import { iret } from './iret.ts';
import * as flow from './legacy-flow.ts';
import * as stack from './legacy-stack.ts';
import * as strings from './legacy-strings.ts';
import * as miscellaneous from './miscellaneous.ts';
import { rdmsr, wrmsr } from './msrs.ts';
import * as ports from './ports.ts';
import * as queries from './segment-queries.ts';
import * as segments from './segments.ts';
import * as syscalls from './syscall.ts';
import type { Next, SystemCpu } from './system-cpu.ts';
import * as tables from './table-registers.ts';

/** Executes an instruction at RIP, or throws GuestFault before anything has changed. */
export type Handler = (cpu: SystemCpu, insn: Insn) => Next;

const HANDLERS: Readonly<Partial<Record<OpName, Handler>>> = {
  invalid: miscellaneous.undefinedOpcode,
  ud: miscellaneous.undefinedOpcode,
  movToSeg: segments.movToSeg,
  movFromSeg: segments.movFromSeg,
  pushSeg: segments.pushSeg,
  popSeg: segments.popSeg,
  les: segments.les,
  lss: segments.lss,
  lds: segments.lds,
  lfs: segments.lfs,
  lgs: segments.lgs,
  lgdt: tables.lgdt,
  lidt: tables.lidt,
  sgdt: tables.sgdt,
  sidt: tables.sidt,
  lldt: tables.lldt,
  sldt: tables.sldt,
  ltr: tables.ltr,
  str: tables.str,
  lar: queries.lar,
  lsl: queries.lsl,
  verr: queries.verr,
  verw: queries.verw,
  arpl: queries.arpl,
  movToCr: control.movToCr,
  movFromCr: control.movFromCr,
  lmsw: control.lmsw,
  smsw: control.smsw,
  clts: control.clts,
  invlpg: control.invlpg,
  movToDr,
  movFromDr,
  rdmsr,
  wrmsr,
  cpuid,
  syscall: syscalls.syscall,
  sysret: syscalls.sysret,
  sysenter: syscalls.sysenter,
  sysexit: syscalls.sysexit,
  swapgs: syscalls.swapgs,
  jmpFar: far.jumpFar,
  jmpFarIndirect: far.jumpFar,
  callFar: far.callFar,
  callFarIndirect: far.callFar,
  retFar: far.returnFar,
  iret,
  in: ports.portIn,
  out: ports.portOut,
  ins: ports.ins,
  outs: ports.outs,
  hlt: miscellaneous.halt,
  invd: miscellaneous.flushCaches,
  wbinvd: miscellaneous.flushCaches,
  vmcall: miscellaneous.vmcall,
  rdtsc: miscellaneous.rdtsc,
  rdtscp: miscellaneous.rdtscp,
  rdpmc: miscellaneous.rdpmc,
  rdrand: miscellaneous.rdrand,
  int: miscellaneous.int,
  int3: miscellaneous.int3,
  int1: miscellaneous.int1,
  into: miscellaneous.into,
  bound: miscellaneous.bound,
  cmpxchg16b: miscellaneous.cmpxchg16b,
  fxsave: miscellaneous.fxsave,
  fxrstor: miscellaneous.fxrstor,
  ldmxcsr: miscellaneous.ldmxcsr,
  stmxcsr: miscellaneous.stmxcsr,
  daa: bcd.daa,
  das: bcd.das,
  aaa: bcd.aaa,
  aas: bcd.aas,
  aam: bcd.aam,
  aad: bcd.aad,
  salc: bcd.salc,
  movs: strings.movs,
  stos: strings.stos,
  lods: strings.lods,
  cmps: strings.cmps,
  scas: strings.scas,
  xlat: strings.xlat,
  jcc: flow.jcc,
  loop: flow.loop,
  loope: flow.loop,
  loopne: flow.loop,
  jcxz: flow.loop,
  pusha: stack.pusha,
  popa: stack.popa,
  pop: stack.pop,
  enter: stack.enter,
  leave: stack.leave,
  pushf: stack.pushf,
  popf: stack.popf,
};

const BY_NUMBER: readonly (Handler | undefined)[] = OPS.map((name) => HANDLERS[name]);

/** Whether `execute` has the semantic operation `op`. */
export function isSystem(op: number): boolean {
  return BY_NUMBER[op] !== undefined;
}

/**
 * Executes a freshly decoded instruction whose address is RIP. A fault of the guest is thrown as GuestFault, with
 * nothing changed that the instruction cannot begin again with.
 */
export function execute(cpu: SystemCpu, insn: Insn): Next {
  const handler = BY_NUMBER[insn.op];
  if (handler !== undefined) return handler(cpu, insn);
  raiseIfVectorsUnavailable(cpu.state, insn);
  throw new Error(`${OPS[insn.op]} is not executed by system/`);
}
