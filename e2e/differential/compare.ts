/** What two outcomes of a sequence differ in, with what the architecture leaves undefined taken out. */
import { decode } from '../../src/hypervisor/soft/decode/decode.ts';
import { formatInsn } from '../../src/hypervisor/soft/decode/format.ts';
import { Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import { ARITHMETIC_FLAGS, FLAG } from '../../src/hypervisor/soft/state.ts';
import { undefinedAfter } from './generate.ts';
import { CODE } from './layout.ts';
import { type Change, link, type Outcome, stepStarts, type TestCase } from './test-case.ts';

const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
const PAGE_FAULT = 14;
const MEMORY_FAULTS: ReadonlySet<number> = new Set([12, 13, PAGE_FAULT]);
const COMPARED_FLAGS = ARITHMETIC_FLAGS | FLAG.df | FLAG.nt | FLAG.tf | FLAG.ac | FLAG.id;
const hex = (value: bigint | number) => `0x${value.toString(16)}`;

/** One line for each difference; none if the outcomes agree. */
export function differences(test: TestCase, host: Outcome, software: Outcome): string[] {
  const lines: string[] = [];
  const check = (name: string, a: bigint | number, b: bigint | number) => {
    if (a !== b) lines.push(`${name}: host ${hex(a)}, software ${hex(b)}`);
  };
  check('rip', host.rip, software.rip);
  const eitherFault =
    faultIsUnordered(test, host) && MEMORY_FAULTS.has(host.vector) && MEMORY_FAULTS.has(software.vector);
  if (!eitherFault) check('vector', host.vector, software.vector);
  if (!eitherFault && host.vector === PAGE_FAULT && software.vector === PAGE_FAULT) {
    check('fault address', host.address, software.address);
    // Linux does not tell whether kernel addresses are mapped.
    const mask = host.address >> 63n ? ~1 : ~0;
    check('error code', host.error & mask, software.error & mask);
  }
  for (let i = 0; i < 16; i++) check(NAMES[i] ?? `r${i}`, host.gpr[i]!, software.gpr[i]!);
  const mask = COMPARED_FLAGS & ~undefinedFlags(test, host);
  check('flags', host.rflags & mask, software.rflags & mask);
  compareFxsave(host.fxsave, software.fxsave, lines);
  compareMemory(host.changes, software.changes, lines);
  return lines;
}

/** Whether the sequence ended at an instruction that may access its two operands in any order. */
function faultIsUnordered(test: TestCase, { rip }: Outcome): boolean {
  const step = stepStarts(test.steps).indexOf(Number(rip) - CODE - test.offset);
  return test.steps[step]?.op === 'cmps';
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

function compareFxsave(host: Uint8Array, software: Uint8Array, lines: string[]): void {
  const bytes = (image: Uint8Array, from: number, size: number) =>
    Buffer.from(image.subarray(from, from + size))
      .reverse()
      .toString('hex');
  const check = (name: string, from: number, size: number) => {
    const [a, b] = [bytes(host, from, size), bytes(software, from, size)];
    if (a !== b) lines.push(`${name}: host ${a}, software ${b}`);
  };
  check('x87 control', 0, 2);
  check('x87 status', 2, 2);
  check('x87 tags', 4, 1);
  check('mxcsr', 24, 4);
  for (let i = 0; i < 8; i++) check(`st${i}`, 32 + i * 16, 10);
  for (let i = 0; i < 16; i++) check(`xmm${i}`, 160 + i * 16, 16);
}

function compareMemory(host: readonly Change[], software: readonly Change[], lines: string[]): void {
  const words = new Map<number, [bigint | undefined, bigint | undefined]>();
  for (const { address, value } of host) words.set(address, [value, undefined]);
  for (const { address, value } of software) words.set(address, [words.get(address)?.[0], value]);
  let shown = 0;
  for (const [address, [a, b]] of words) {
    if (a === b || shown++ > 4) continue;
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
