import type { Registers, Segment, SystemRegisters } from '../../hypervisor/hypervisor.ts';
import type { Gpa, GuestMemory } from '../../memory/guest-memory.ts';
import {
  BOOT_GDT,
  BOOT_IDT,
  BOOT_STACK,
  PAGE_DIRECTORIES,
  PAGE_DIRECTORY_POINTERS,
  PAGE_MAP_LEVEL_4,
  PVH_START_INFO,
  ZERO_PAGE,
} from './memory-map.ts';
import { LAPIC_ADDRESS } from './platform.ts';

/** Registers of a vCPU at its first instruction. */
export interface EntryState {
  readonly registers: Registers;
  readonly systemRegisters: SystemRegisters;
}

const CR0_PE = 1n;
const CR0_ET = 1n << 4n;
const CR0_NW_CD = 3n << 29n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;
const RFLAGS_FIXED = 2n;
/** IA32_APIC_BASE: enabled, on the bootstrap processor. */
const APIC_BASE = BigInt(LAPIC_ADDRESS) | (1n << 11n) | (1n << 8n);

/** Selectors as Linux expects them (__BOOT_CS, __BOOT_DS). */
const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const TSS_SELECTOR = 0x20;
const TYPE_CODE = 0xb; // execute, read, accessed
const TYPE_DATA = 0x3; // read, write, accessed
const TYPE_BUSY_TSS = 0xb;
const TYPE_LDT = 0x2;

const PTE_PRESENT_WRITABLE = 3;
const PDE_LARGE = 0x80;

/**
 * Long mode with the first 4 GiB mapped to themselves, RSI pointing to boot_params: the state that Linux's 64-bit boot
 * protocol asks for. Writes the page tables and the GDT to guest memory.
 */
export function linux64Entry(memory: GuestMemory, entry: Gpa): EntryState {
  writeIdentityMap(memory);
  const code = segment(CODE_SELECTOR, TYPE_CODE, { l: 1, g: 1, limit: 0xffff_ffff });
  const { registers, systemRegisters } = protectedState(memory, entry, code);
  return {
    registers: { ...registers, rsi: BigInt(ZERO_PAGE), rsp: BigInt(BOOT_STACK), rbp: BigInt(BOOT_STACK) },
    systemRegisters: {
      ...systemRegisters,
      cr0: CR0_PE | CR0_ET | CR0_PG,
      cr3: BigInt(PAGE_MAP_LEVEL_4),
      cr4: CR4_PAE,
      efer: EFER_LME | EFER_LMA,
    },
  };
}

/** 32-bit protected mode without paging, EBX pointing to hvm_start_info (Xen, pvh.pandoc). Writes the GDT. */
export function pvhEntry(memory: GuestMemory, entry: Gpa): EntryState {
  const { registers, systemRegisters } = flat32Entry(memory, entry);
  return { registers: { ...registers, rbx: BigInt(PVH_START_INFO) }, systemRegisters };
}

/**
 * The same with ESI pointing to boot_params and EBP, EDI and EBX zero: the state that Linux's 32-bit boot protocol asks
 * for. Writes the GDT.
 */
export function linux32Entry(memory: GuestMemory, entry: Gpa): EntryState {
  const { registers, systemRegisters } = flat32Entry(memory, entry);
  return { registers: { ...registers, rsi: BigInt(ZERO_PAGE) }, systemRegisters };
}

function flat32Entry(memory: GuestMemory, entry: Gpa): EntryState {
  const code = segment(CODE_SELECTOR, TYPE_CODE, { db: 1, g: 1, limit: 0xffff_ffff });
  const { registers, systemRegisters } = protectedState(memory, entry, code);
  return {
    registers,
    // PVH wants a TSS of 0x67 bytes and everything but PE and ET clear.
    systemRegisters: { ...systemRegisters, cr0: CR0_PE | CR0_ET },
  };
}

/** Real mode at the reset vector 0xfffffff0 (Intel SDM vol. 3, 9.1.4). */
export function resetVectorEntry(): EntryState {
  const data = segment(0, TYPE_DATA, { limit: 0xffff });
  return {
    registers: { ...zeroRegisters(), rip: 0xfff0n, rdx: 0x600n, rflags: RFLAGS_FIXED },
    systemRegisters: {
      ...systemState(data),
      cs: { ...segment(0xf000, TYPE_CODE, { limit: 0xffff }), base: 0xffff_0000n },
      tr: { ...segment(0, TYPE_BUSY_TSS, { limit: 0xffff }), s: 0 },
      gdt: { base: 0n, limit: 0xffff },
      idt: { base: 0n, limit: 0xffff },
      cr0: CR0_ET | CR0_NW_CD,
    },
  };
}

function protectedState(memory: GuestMemory, entry: Gpa, code: Segment): EntryState {
  const data = segment(DATA_SELECTOR, TYPE_DATA, { db: 1, g: 1, limit: 0xffff_ffff });
  const tss = { ...segment(TSS_SELECTOR, TYPE_BUSY_TSS, { limit: 0x67 }), s: 0 };
  // Two empty ones; a TSS takes two in long mode.
  const descriptors = [0n, 0n, descriptor(code), descriptor(data), descriptor(tss), 0n];
  descriptors.forEach((d, i) => {
    memory.setU32(BOOT_GDT + i * 8, Number(d & 0xffff_ffffn));
    memory.setU32(BOOT_GDT + i * 8 + 4, Number(d >> 32n));
  });
  memory.fill(BOOT_IDT, 8, 0);
  return {
    registers: { ...zeroRegisters(), rip: BigInt(entry), rflags: RFLAGS_FIXED },
    systemRegisters: {
      ...systemState(data),
      cs: code,
      tr: tss,
      gdt: { base: BigInt(BOOT_GDT), limit: descriptors.length * 8 - 1 },
      idt: { base: BigInt(BOOT_IDT), limit: 7 },
    },
  };
}

function systemState(data: Segment): SystemRegisters {
  return {
    cs: data,
    ds: { ...data },
    es: { ...data },
    fs: { ...data },
    gs: { ...data },
    ss: { ...data },
    tr: data,
    ldt: { ...segment(0, TYPE_LDT, { limit: 0xffff }), s: 0 },
    gdt: { base: 0n, limit: 0 },
    idt: { base: 0n, limit: 0 },
    cr0: 0n,
    cr2: 0n,
    cr3: 0n,
    cr4: 0n,
    cr8: 0n,
    efer: 0n,
    apicBase: APIC_BASE,
  };
}

/** Identity map of 0 to 4 GiB with pages of 2 MiB. */
function writeIdentityMap(memory: GuestMemory): void {
  memory.fill(PAGE_MAP_LEVEL_4, 4096, 0);
  memory.fill(PAGE_DIRECTORY_POINTERS, 4096, 0);
  memory.setU64(PAGE_MAP_LEVEL_4, PAGE_DIRECTORY_POINTERS | PTE_PRESENT_WRITABLE);
  for (let gib = 0; gib < 4; gib++) {
    const directory = PAGE_DIRECTORIES + gib * 4096;
    memory.setU64(PAGE_DIRECTORY_POINTERS + gib * 8, directory | PTE_PRESENT_WRITABLE);
    for (let i = 0; i < 512; i++) {
      memory.setU64(directory + i * 8, gib * 2 ** 30 + i * 2 ** 21 + (PDE_LARGE | PTE_PRESENT_WRITABLE));
    }
  }
}

function segment(
  selector: number,
  type: number,
  attributes: { readonly limit: number; readonly l?: number; readonly db?: number; readonly g?: number },
): Segment {
  const { limit, l = 0, db = 0, g = 0 } = attributes;
  return { base: 0n, limit, selector, type, present: 1, dpl: 0, db, s: 1, l, g, avl: 0, unusable: 0 };
}

/** The descriptor in memory for a segment with base 0 (Intel SDM vol. 3, 3.4.5). */
function descriptor(s: Segment): bigint {
  const limit = s.g === 1 ? s.limit >>> 12 : s.limit;
  const access = s.type | (s.s << 4) | (s.dpl << 5) | (s.present << 7);
  const flags = s.avl | (s.l << 1) | (s.db << 2) | (s.g << 3);
  return BigInt(limit & 0xffff) | (BigInt(access) << 40n) | (BigInt(limit >>> 16) << 48n) | (BigInt(flags) << 52n);
}

function zeroRegisters(): Registers {
  return {
    rax: 0n,
    rcx: 0n,
    rdx: 0n,
    rbx: 0n,
    rsp: 0n,
    rbp: 0n,
    rsi: 0n,
    rdi: 0n,
    r8: 0n,
    r9: 0n,
    r10: 0n,
    r11: 0n,
    r12: 0n,
    r13: 0n,
    r14: 0n,
    r15: 0n,
    rip: 0n,
    rflags: 0n,
  };
}
