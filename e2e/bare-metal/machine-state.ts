/** Register states in which guests start, and the tables that those need. */

import type { Registers, Segment, SystemRegisters } from '../../src/hypervisor/hypervisor.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { ORIGIN } from './prelude.ts';

export type Mode = 'real' | 'protected' | 'long';

export const GDT = 0x1000;
export const TSS = 0x1800;
export const STACK_TOP = 0x7ff0;
export const PML4 = 0x10_0000;
const PDPT = PML4 + 0x1000;
const PAGE_DIRECTORIES = PML4 + 0x2000;
/** The first 2 MiB are mapped by pages of 4 KiB, so that a test can change single ones: entry n maps page n. */
export const PAGE_TABLE = PML4 + 0x6000;

const PRESENT_WRITABLE = 3;
const LARGE = 0x80;
const CR0_PE = 0x1n;
const CR0_ET = 0x10n;
const CR0_NE = 0x20n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const CR4_OSFXSR = 0x200n;
const EFER_LME_LMA = 0x500n;

/** Null, 64-bit code (8), data (16), 32-bit code (24); then the TSS (32). */
const DESCRIPTORS = [0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x00cf_9b00_0000_ffffn];
const TSS_SELECTOR = 32;
const TSS_LIMIT = 0x67;

const code32 = segment(24, 0xb, { db: 1, g: 1 });
const code64 = segment(8, 0xb, { l: 1, g: 1 });
const data = segment(16, 0x3, { db: 1, g: 1 });

function segment(selector: number, type: number, bits: Partial<Segment>): Segment {
  const base = { base: 0n, limit: 0xffff_ffff, selector, type, present: 1, dpl: 0, db: 0, s: 1, l: 0, g: 0, avl: 0 };
  return { ...base, unusable: 0, ...bits };
}

/** Page tables that map the first 4 GiB to themselves, a GDT and a TSS. */
export function writeTables(memory: GuestMemory): void {
  memory.setU64(PML4, PDPT + PRESENT_WRITABLE);
  for (let i = 0; i < 4; i++) memory.setU64(PDPT + 8 * i, PAGE_DIRECTORIES + 0x1000 * i + PRESENT_WRITABLE);
  for (let i = 1; i < 2048; i++) memory.setU64(PAGE_DIRECTORIES + 8 * i, i * 0x20_0000 + LARGE + PRESENT_WRITABLE);
  memory.setU64(PAGE_DIRECTORIES, PAGE_TABLE + PRESENT_WRITABLE);
  for (let i = 0; i < 512; i++) memory.setU64(PAGE_TABLE + 8 * i, i * 0x1000 + PRESENT_WRITABLE);
  const tss = BigInt(TSS_LIMIT) | (BigInt(TSS) << 16n) | (0x8bn << 40n);
  [...DESCRIPTORS, tss].forEach((descriptor, i) => {
    memory.setU32(GDT + 8 * i, Number(descriptor & 0xffff_ffffn));
    memory.setU32(GDT + 8 * i + 4, Number(descriptor >> 32n));
  });
}

/** `reset` is the state after creation. */
export function systemRegistersFor(mode: Mode, reset: SystemRegisters): SystemRegisters {
  if (mode === 'real') return { ...reset, cs: { ...reset.cs, base: 0n, selector: 0 } };
  const flat = { ds: data, es: data, fs: data, gs: data, ss: data };
  const tr = segment(TSS_SELECTOR, 0xb, { base: BigInt(TSS), limit: TSS_LIMIT, s: 0 });
  const common = { ...reset, ...flat, tr, gdt: { base: BigInt(GDT), limit: 47 } };
  if (mode === 'protected') return { ...common, cs: code32, cr0: CR0_PE | CR0_ET | CR0_NE };
  return {
    ...common,
    cs: code64,
    cr0: CR0_PE | CR0_ET | CR0_NE | CR0_PG,
    cr3: BigInt(PML4),
    cr4: CR4_PAE | CR4_OSFXSR,
    efer: EFER_LME_LMA,
  };
}

export function registersAtOrigin(): Registers {
  const zero = { rax: 0n, rcx: 0n, rdx: 0n, rbx: 0n, rbp: 0n, rsi: 0n, rdi: 0n };
  const high = { r8: 0n, r9: 0n, r10: 0n, r11: 0n, r12: 0n, r13: 0n, r14: 0n, r15: 0n };
  return { ...zero, ...high, rsp: BigInt(STACK_TOP), rip: BigInt(ORIGIN), rflags: 2n };
}
