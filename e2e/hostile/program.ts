/** Hostile guest programs: where their parts are in guest memory, and the tables and handlers around them. */
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { GDT, PAGE_TABLE, PML4, STACK_TOP, TSS, writeTables } from '../bare-metal/machine-state.ts';
import { EXIT_PORT } from '../bare-metal/prelude.ts';
import type { Random } from '../differential/random.ts';

/** `paged` is protected mode with 32-bit paging. */
export const MODES = ['real', 'protected', 'paged', 'long'] as const;
export type Mode = (typeof MODES)[number];

export const PAGE = 4096;
export const RAM_SIZE = 0x20_0000;
/** Memory that the guest cannot write: a canary. */
export const ROM = 0x40_0000;
export const ROM_SIZE = 0x1_0000;
export const IDT = 0x2000;
export const HANDLER = 0x4000;
/** u32 count of the exceptions so far, u32 of nothing, then the entry points: each exception goes on with the next. */
export const ENTRIES = 0x5000;
/** Programs lie here; the pages behind them are their data. Real mode can address all of it. */
export const CODE = 0x8000;
export const CODE_SIZE = 0x4000;
export const DATA = 0xc000;
export const DATA_SIZE = 0x4000;
/** Descriptors behind those of the machine are garbage. */
export const GARBAGE_SELECTOR = 48;
export const GDT_SIZE = 0x800;
/** The second set of page tables maps ALIASED, a page of the code, to ALIAS, which holds a copy. */
export const ALIASED = CODE + PAGE;
export const ALIAS = 0x1_8000;
const TABLES_OF_LONG_MODE = { first: PML4, second: 0x11_0000 };
const TABLES_OF_32_BITS = { first: 0x12_0000, second: 0x12_2000 };

/** Where a TSS of long mode has the first stack of its own of interrupts: handlers run whatever RSP was. */
const IST1 = 0x24;

export interface Program {
  readonly mode: Mode;
  /** CODE_SIZE bytes for CODE. */
  readonly code: Uint8Array;
  /** Where to begin, and where to go on after each exception. */
  readonly entries: readonly number[];
  /** DATA_SIZE bytes for DATA. */
  readonly data: Uint8Array;
  /** For the GDT from GARBAGE_SELECTOR on. */
  readonly descriptors: Uint8Array;
  /** Values of the 16 general registers at the start. */
  readonly registers: readonly bigint[];
}

/** Guest physical memory that holds all page tables. */
export const TABLES = { start: PML4, end: 0x13_0000 };

/** CR3 of the first or the second page tables; 0 where there is no paging. */
export function pageTables(mode: Mode, which: 'first' | 'second'): number {
  if (mode === 'long') return TABLES_OF_LONG_MODE[which];
  return mode === 'paged' ? TABLES_OF_32_BITS[which] : 0;
}

/** Where the entry of linear page `page` of the first 2 MiB is in the first page tables. */
export function pageTableEntry(mode: Mode, page: number): number {
  return mode === 'long' ? PAGE_TABLE + page * 8 : TABLES_OF_32_BITS.first + PAGE + page * 4;
}

/** Puts a program and all that it needs into zeroed memory. */
export function load(program: Program, memory: GuestMemory): void {
  const { mode, code, data, entries, descriptors } = program;
  writeTables(memory);
  memory.write(GDT + GARBAGE_SELECTOR, descriptors);
  if (mode === 'long') copyLongTables(memory);
  if (mode === 'paged') write32BitTables(memory);
  writeGates(mode, memory);
  memory.setU64(TSS + IST1, STACK_TOP);
  memory.write(HANDLER, handler(mode, entries.length));
  const width = mode === 'long' ? 8 : mode === 'real' ? 2 : 4;
  // The first entry is where the program starts, so the first exception goes on with the second.
  entries.forEach((entry, i) => {
    if (mode === 'real') memory.setU16(ENTRIES + 8 + i * width, entry);
    else memory.setU32(ENTRIES + 8 + i * width, entry);
  });
  memory.write(CODE, code);
  memory.write(DATA, data);
  memory.write(ALIAS, code.subarray(ALIASED - CODE, ALIASED - CODE + PAGE));
}

function copyLongTables(memory: GuestMemory): void {
  const { second } = TABLES_OF_LONG_MODE;
  for (let i = 0; i < 3 * PAGE; i += 8) memory.setU64(second + i, memory.getU64(PML4 + i));
  const table = second + 3 * PAGE;
  for (let i = 0; i < PAGE; i += 8) memory.setU64(table + i, memory.getU64(PAGE_TABLE + i));
  memory.setU64(second, second + PAGE + 3);
  memory.setU64(second + PAGE, second + 2 * PAGE + 3);
  memory.setU64(second + 2 * PAGE, table + 3);
  memory.setU64(table + (ALIASED / PAGE) * 8, ALIAS + 3);
}

/** Directories that map the first 4 MiB by pages and some more by large ones, to themselves. */
function write32BitTables(memory: GuestMemory): void {
  for (const directory of Object.values(TABLES_OF_32_BITS)) {
    const table = directory + PAGE;
    memory.setU32(directory, table + 7);
    for (let i = 1; i < 1024; i++) memory.setU32(directory + i * 4, (i * 0x40_0000 + 0x83) >>> 0);
    for (let i = 0; i < 1024; i++) memory.setU32(table + i * 4, i * PAGE + 7);
  }
  memory.setU32(TABLES_OF_32_BITS.second + PAGE + (ALIASED / PAGE) * 4, ALIAS + 7);
}

function writeGates(mode: Mode, memory: GuestMemory): void {
  for (let vector = 0; vector < 256; vector++) {
    if (mode === 'real') memory.setU32(vector * 4, HANDLER);
    else {
      const at = IDT + vector * (mode === 'long' ? 16 : 8);
      memory.setU32(at, ((mode === 'long' ? 8 : 24) << 16) | HANDLER);
      memory.setU32(at + 4, mode === 'long' ? 0xee01 : 0xee00);
    }
  }
}

/** Counts the exception in ENTRIES and jumps to the next entry; behind the last it writes to EXIT_PORT. */
function handler(mode: Mode, entries: number): Uint8Array {
  const low = ENTRIES & 0xff;
  const high = ENTRIES >> 8;
  const stack = [STACK_TOP & 0xff, STACK_TOP >> 8];
  const end = [0xe6, EXIT_PORT, 0xeb, 0xfc]; // 1: out EXIT_PORT, al; jmp 1b
  if (mode === 'real') {
    return Uint8Array.of(
      ...[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, ...stack], // ds, es, ss = 0; sp
      ...[0xff, 0x06, low, high, 0x8b, 0x1e, low, high], // inc word [count]; mov bx, [count]
      ...[0x83, 0xfb, entries, 0x73, 0x06], // cmp bx, entries; jae end
      ...[0x01, 0xdb, 0xff, 0xa7, low + 8, high], // add bx, bx; jmp [bx + table]
      ...end,
    );
  }
  if (mode === 'long') {
    return Uint8Array.of(
      ...[0x48, 0xc7, 0xc4, ...stack, 0, 0], // mov rsp, STACK_TOP
      ...[0xff, 0x04, 0x25, low, high, 0, 0, 0x8b, 0x04, 0x25, low, high, 0, 0], // inc dword [count]; mov eax, [count]
      ...[0x83, 0xf8, entries, 0x73, 0x07, 0xff, 0x24, 0xc5, low + 8, high, 0, 0], // cmp; jae end; jmp [rax * 8 + table]
      ...end,
    );
  }
  return Uint8Array.of(
    ...[0x66, 0xb8, 16, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, ...stack, 0, 0], // ds, es, ss = 16; esp
    ...[0xff, 0x05, low, high, 0, 0, 0xa1, low, high, 0, 0], // inc dword [count]; mov eax, [count]
    ...[0x83, 0xf8, entries, 0x73, 0x07, 0xff, 0x24, 0x85, low + 8, high, 0, 0], // cmp; jae end; jmp [eax * 4 + table]
    ...end,
  );
}

const ATTRIBUTES = [0x9b, 0x93, 0x89, 0x8b, 0x82, 0x84, 0x85, 0x8c, 0x8e, 0x8f, 0xec, 0xfb, 0xf3, 0x13, 0x1b, 0x97];

/** Descriptors that are nearly right, mixed with ones that are not at all. */
export function garbageDescriptors(random: Random): Uint8Array {
  const bytes = new Uint8Array(GDT_SIZE - GARBAGE_SELECTOR);
  for (let at = 0; at < bytes.length; at += 8) {
    for (let i = 0; i < 8; i++) bytes[at + i] = random.below(256);
    if (random.chance(0.2)) continue;
    bytes[at + 5] = random.pick(ATTRIBUTES);
    if (random.chance(0.5)) bytes.set([0xff, 0xff, 0, 0, 0], at);
    else bytes.set([HANDLER & 0xff, HANDLER >> 8, random.pick([8, 16, 24, 32]), 0, 0], at); // as of a gate
    if (random.chance(0.5)) bytes.set([random.pick([0xcf, 0xaf, 0x8f, 0x0f, 0xef]), 0], at + 6);
  }
  return bytes;
}
