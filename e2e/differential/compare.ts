/** What two outcomes of a sequence differ in, with what the architecture leaves undefined taken out. */
import { ARITHMETIC_FLAGS, FLAG, VECTOR } from '../../src/hypervisor/soft/architecture.ts';
import { decode } from '../../src/hypervisor/soft/decode/decode.ts';
import { formatInsn } from '../../src/hypervisor/soft/decode/format.ts';
import { Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import { isTranscendental } from './excluded.ts';
import { undefinedAfter } from './generate.ts';
import { CODE } from './layout.ts';
import { type Change, link, type Outcome, stepStarts, type TestCase } from './test-case.ts';

const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
const END_OF_USER = 0x7fff_ffff_f000n;
/** Two operands, a target that is checked before or behind the push, and images of many bytes. */
const UNORDERED = new Set(['cmps', 'callIndirect', 'fldenv', 'frstor', 'fnstenv', 'fnsave', 'fxsave', 'fxrstor']);
/** Whether bytes that the mask leaves out can fault is up to the CPU model. */
const MASKED = new Set(['maskmovq', 'maskmovdqu']);
const MEMORY_FAULTS: ReadonlySet<number> = new Set([VECTOR.ss, VECTOR.gp, VECTOR.pf]);
const COMPARED_FLAGS = ARITHMETIC_FLAGS | FLAG.df | FLAG.nt | FLAG.tf | FLAG.ac | FLAG.id;
const TWO_ACCESSES = new Set(['movs', 'cmps']);
const [RSI, RDI] = [6, 7];

const hex = (value: bigint | number) => `0x${value.toString(16)}`;

/** One line for each difference; none if the outcomes agree. */
export function differences(test: TestCase, host: Outcome, software: Outcome): string[] {
  const lines: string[] = [];
  const check = (name: string, a: bigint | number, b: bigint | number) => {
    if (a !== b) lines.push(`${name}: host ${hex(a)}, software ${hex(b)}`);
  };
  // MXCSR of AMD has one bit more, with which it is another CPU.
  if ((host.fxsave[26]! & 2) !== 0) return [];
  // The code segment that makes sequences not flat ends before the last byte of 4 GiB (Software).
  if (test.codeSize !== 8 && host.rip === 0xffff_ffffn) return [];
  if (MEMORY_FAULTS.has(host.vector) && MASKED.has(stepAt(test, host) ?? '')) return [];
  check('rip', host.rip, software.rip);
  const eitherFault =
    (faultIsUnordered(test, host) ||
      [host, software].some((end) => passesEnd(test, end) || copyPassesEnd(test, end))) &&
    MEMORY_FAULTS.has(host.vector) &&
    MEMORY_FAULTS.has(software.vector);
  // Whether an operand of 16 bytes is aligned (#GP) or in the canonical stack segment (#SS) has no order either.
  const eitherGeneral = host.vector === VECTOR.gp && software.vector === VECTOR.ss && host.address === 0n;
  if (!eitherFault && !eitherGeneral) check('vector', host.vector, software.vector);
  if (!eitherFault && host.vector === VECTOR.pf && software.vector === VECTOR.pf) {
    check('fault address', host.address, software.address);
    // Linux says of all addresses that are not for programs that they are mapped.
    const mask = host.address >= END_OF_USER ? ~1 : ~0;
    check('error code', host.error & mask, software.error & mask);
  }
  // POPA may have loaded some registers when it meets a fault.
  const popped = host.vector === VECTOR.pf && stepAt(test, host) === 'popa' ? 8 : 0;
  for (let i = popped; i < 16; i++) check(NAMES[i] ?? `r${i}`, host.gpr[i]!, software.gpr[i]!);
  const mask = COMPARED_FLAGS & ~undefinedFlags(test, host);
  check('flags', host.rflags & mask, software.rflags & mask);
  const ops = test.steps.map((step) => step.op);
  compareFxsave(host.fxsave, software.fxsave, ops.some(isTranscendental), lines);
  compareMemory(host.changes, software.changes, ops.includes('fxsave'), lines);
  return lines;
}

/** Whether the sequence ended at an instruction whose accesses have no order that the architecture gives. */
function faultIsUnordered(test: TestCase, host: Outcome): boolean {
  return UNORDERED.has(stepAt(test, host) ?? '');
}

/**
 * Whether 32-bit code went past 4 GiB: the limit of flat segments may make that #GP or not (SDM vol. 3, 5.3). Nothing can be mapped there in either case.
 */
function passesEnd({ codeSize }: TestCase, { address, vector }: Outcome): boolean {
  return codeSize !== 8 && vector === VECTOR.pf && address >= 0xffff_fff0n;
}

/** The same for MOVS and CMPS, where the other operand may be what faults in a CPU that does not mind. */
function copyPassesEnd(test: TestCase, outcome: Outcome): boolean {
  const { gpr } = outcome;
  return (
    test.codeSize !== 8 &&
    TWO_ACCESSES.has(stepAt(test, outcome) ?? '') &&
    [RSI, RDI].some((n) => gpr[n]! >= 0xffff_fff0n)
  );
}

/** The operation that the sequence ended at. */
function stepAt(test: TestCase, { rip }: Outcome): string | undefined {
  return test.steps[stepStarts(test.steps).indexOf(Number(rip) - CODE - test.offset)]?.op;
}

/** Flags that may have any value where the sequence ended. */
function undefinedFlags(test: TestCase, { rip }: Outcome): number {
  const starts = stepStarts(test.steps);
  const end = starts.indexOf(Number(rip) - CODE - test.offset);
  const code = link(test, CODE);
  const insn = new Insn();
  let flags = 0;
  let every = 0;
  for (let i = 0; i < (end < 0 ? test.steps.length : end); i++) {
    decode(code, starts[i]!, code.length, test.codeSize, insn);
    flags = undefinedAfter(flags, insn, test.steps.slice(0, i + 1));
    every |= flags;
  }
  return end < 0 ? every : flags;
}

/** Underflow, precision exception and C1, which tell about rounding, and that an unmasked exception is pending. */
const ROUNDING = 0x82b0;

function compareFxsave(host: Uint8Array, software: Uint8Array, approximate: boolean, lines: string[]): void {
  const bytes = (image: Uint8Array, from: number, size: number) =>
    Buffer.from(image.subarray(from, from + size))
      .reverse()
      .toString('hex');
  const check = (name: string, from: number, size: number) => {
    const [a, b] = [bytes(host, from, size), bytes(software, from, size)];
    if (a !== b) lines.push(`${name}: host ${a}, software ${b}`);
  };
  check('x87 control', 0, 2);
  const status = (image: Uint8Array) => (image[2]! | (image[3]! << 8)) & (approximate ? ~ROUNDING : ~0);
  if (status(host) !== status(software)) check('x87 status', 2, 2);
  check('x87 tags', 4, 1);
  check('mxcsr', 24, 4);
  for (let i = 0; i < 8; i++) {
    const at = 32 + i * 16;
    if (!approximate || !isClose(host, software, at)) check(`st${i}`, at, 10);
  }
  for (let i = 0; i < 16; i++) check(`xmm${i}`, 160 + i * 16, 16);
}

/** Whether two 80-bit numbers differ by at most one in their last place. */
function isClose(host: Uint8Array, software: Uint8Array, at: number): boolean {
  const [a, b] = [host, software].map((image) => new DataView(image.buffer, image.byteOffset + at, 10));
  const distance = order(a!) - order(b!);
  return distance >= -1n && distance <= 1n;
}

/** The place of an 80-bit number among all of its sign: below a power of two the last place counts on from there. */
function order(number: DataView): bigint {
  const significand = number.getBigUint64(0, true) & 0x7fff_ffff_ffff_ffffn;
  return (BigInt(number.getUint16(8, true)) << 63n) | significand;
}

/** MXCSR_MASK in an image of FXSAVE has bit 17 on AMD: misaligned SSE. */
const MISALIGNED_SSE = 1n << 49n;

function compareMemory(host: readonly Change[], software: readonly Change[], image: boolean, lines: string[]): void {
  const words = new Map<number, [bigint | undefined, bigint | undefined]>();
  for (const { address, value } of host) words.set(address, [value, undefined]);
  for (const { address, value } of software) words.set(address, [words.get(address)?.[0], value]);
  let shown = 0;
  for (const [address, [a, b]] of words) {
    if (a === b || (image && a !== undefined && b !== undefined && (a ^ b) === MISALIGNED_SSE) || shown++ > 4) continue;
    const text = (v: bigint | undefined) => (v === undefined ? 'unchanged' : hex(v));
    lines.push(`memory ${hex(address)}: host ${text(a)}, software ${text(b)}`);
  }
}

/** The sequence for people. */
export function describe(test: TestCase): string {
  const code = link(test, CODE);
  const insn = new Insn();
  const lines: string[] = [];
  let at = 0;
  for (const step of test.steps) {
    const bytes = code.subarray(at, at + step.bytes.length);
    const length = decode(code, at, code.length, test.codeSize, insn);
    const text = length > 0 ? formatInsn(insn, BigInt(CODE + test.offset + at)) : step.op;
    lines.push(`  ${hex(CODE + test.offset + at)}  ${Buffer.from(bytes).toString('hex').padEnd(30)}  ${text}`);
    at += step.bytes.length;
  }
  const { gpr, rflags, fxsave } = test.state;
  const registers = [...gpr].map((value, i) => `${NAMES[i] ?? `r${i}`}=${hex(value)}`);
  lines.push(`  ${registers.join(' ')} rflags=${hex(rflags)}`);
  if (test.steps.some((step) => /^(f|p|mov|cvt|add|sub|mul|div|[a-z]+[ps][sd]$)/.test(step.op))) {
    lines.push(`  fxsave ${Buffer.from(fxsave.subarray(0, 416)).toString('hex')}`);
  }
  return lines.join('\n');
}
