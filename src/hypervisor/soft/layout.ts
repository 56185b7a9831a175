/**
 * The map of the WebAssembly memory that a software VM runs in (software CPUs address 4 GiB, so guest RAM ends where
 * that does). Offsets within a vCPU's own state are in state.ts.
 *
 *     0          vCPU blocks, CPU_SIZE each
 *     REGIONS    the number of vCPUs and the table of guest memory regions, then locks
 *     VCPU_AREA  for each vCPU: TLBs, their fill logs, jump cache, news of code that others wrote, decoded code
 *     RAM        guest RAM, then the windows (memory-window.ts), then for each page of both an 8-byte code map entry, then
 *                for each a byte: of RAM in the dirty map, of windows one that says what the page is
 */
import { CPU_SIZE } from './state.ts';

export const MAX_VCPUS = 15;

/** Guest memory regions: u32 count at REGIONS, entries of REGION_SIZE bytes from REGIONS + 8. */
export const REGIONS = MAX_VCPUS * CPU_SIZE;
export const REGION = {
  /** u64 first guest physical address. */
  start: 0,
  /** u64 bytes. */
  size: 8,
  /** u32 address of its first byte in the WebAssembly memory. */
  host: 16,
  /** u32, 1 if the guest cannot write it. */
  readOnly: 20,
  /** u32 address of the code map entry of its first page. */
  codeMap: 24,
  /** u32 address of the bytes that writes to its pages set; 0 while nobody wants to know. */
  dirtyMap: 28,
  /** u32 address of a PAGE_ byte for each page of a window; 0: all is memory. */
  pages: 32,
  /** u32 that offsets in the region are masked with, so that they stay within one that moves while they are computed. */
  mask: 36,
} as const;
export const REGION_SIZE = 40;
/** The mask of a region that stays where it is. */
export const NO_MASK = 0xffff_ffff;
export const MAX_REGIONS = 64;

/** What a page of a window is to the guest, besides no memory (0). */
export const PAGE_READABLE = 1;
export const PAGE_WRITABLE = 2;

/** u32: how many vCPUs the VM has; 0 counts as 1. */
export const VCPU_COUNT = REGIONS + 4;

/** Words of locks (memory/lock.ts), each in a cache line of its own, behind the region table. */
const LOCKS = REGIONS + align(8 + MAX_REGIONS * REGION_SIZE, 64);
/** Held by locked instructions whose operand the host cannot access atomically. */
export const SPLIT_LOCK = LOCKS;
/** Guards the code map: bits that are set, and the TLB entries that go for it. */
export const CODE_MAP_LOCK = LOCKS + 64;
/** tsc-sync.ts: a lock, u32 whether there is an offset, f64 the offset. */
export const TSC_OFFSET = { lock: LOCKS + 128, isSet: LOCKS + 132, value: LOCKS + 136 } as const;

/** u32, not 0: other processes write guest memory, and tell nobody. */
export const EXTERNAL_WRITERS = LOCKS + 192;

/** Address of the entry of region `index`. */
export function regionEntry(index: number): number {
  return REGIONS + 8 + index * REGION_SIZE;
}

/** Direct-mapped TLBs, one for each privilege; an entry covers 4 KiB. */
export const TLB_ENTRIES = 2048;
export const TLB_ENTRY = {
  /** u64: linear page address if reads may go straight to `host`, else a page that no address of this entry has. */
  read: 0,
  /** u64: the same for writes. */
  write: 8,
  /** i32: WebAssembly address of the page minus the low 32 bits of its linear address. */
  host: 16,
  /** u32: guest physical page number. */
  page: 20,
} as const;
export const TLB_ENTRY_SIZE = 32;
export const TLB_SIZE = TLB_ENTRIES * TLB_ENTRY_SIZE;

/** Code that was looked up by linear address: u64 linear address, u32 tag (CPU.jumpTag*), u32 record. */
export const JUMP_ENTRIES = 32768;
export const JUMP_ENTRY_SIZE = 16;

/**
 * Entries of the same form that belong to one place of compiled code each (jit/region-compiler.ts): where it went the
 * last time. Those of a region lie side by side, which is what makes them quicker than the jump cache. The first one
 * belongs to nobody.
 */
export const JUMP_CELLS = 65536;

/**
 * Code that was looked up by guest physical address: u32 page number, u32 key (the block's start in the page and the mode
 * that it was decoded in), u32 record, 0 for none. The hash of a block is the upper bits of its address times BLOCK_HASH.
 */
export const BLOCK_ENTRIES = 65536;
export const BLOCK_ENTRY = { page: 0, key: 4, record: 8 } as const;
export const BLOCK_ENTRY_SIZE = 16;
export const BLOCK_HASH = 0x9e37_79b1 | 0;
export const BLOCK_HASH_SHIFT = 16;

/** Pages that code was looked up in: u64 linear page address, u32 tag as in the jump cache, u32 guest physical page number. */
export const CODE_PAGE_ENTRIES = 512;
export const CODE_PAGE_ENTRY = { linear: 0, tag: 8, page: 12 } as const;
export const CODE_PAGE_ENTRY_SIZE = 16;

/** Sums of the code of pages: u32 guest physical page number, u32 sum, u32 and u32 the pieces of 64 bytes that it is about. */
export const CODE_SUM_ENTRIES = 1024;
export const CODE_SUM_ENTRY = { page: 0, sum: 4, low: 8, high: 12 } as const;
export const CODE_SUM_ENTRY_SIZE = 16;

/** Which TLB entries a flush of the non-global ones has to visit: u32 count, then u32 entry addresses. */
export const FILL_LOG_ENTRIES = 2047;

const FILL_LOG = 2 * TLB_SIZE + (JUMP_ENTRIES + JUMP_CELLS) * JUMP_ENTRY_SIZE;

/** Within a vCPU's area. */
export const AREA = {
  tlbSupervisor: 0,
  tlbUser: TLB_SIZE,
  jumpCache: 2 * TLB_SIZE,
  jumpCells: 2 * TLB_SIZE + JUMP_ENTRIES * JUMP_ENTRY_SIZE,
  fillLog: FILL_LOG,
  /** One byte for each value of bits 21-30 of a linear address: not 0 if a large page was filled there. */
  largeMap: FILL_LOG + 0x2000,
  /** What others wrote that decoded code may have been made from: code-writes.ts. */
  codeWrites: FILL_LOG + 0x3000,
  codePages: FILL_LOG + 0x4000,
  codeSums: FILL_LOG + 0x8000,
  blocks: 0x1c0000,
  /** u32 each: the headers of the blocks of compiled regions, at 4 times what is below COMPILED in chain.ts; or 0. */
  regionBlocks: 0x2c0000,
  /**
   * For each entry of the TLBs, as far behind it as this, the entry that it replaced: two pages that are used by turns and
   * share an entry would otherwise be looked up in the page tables each time. (So this is a multiple of TLB_SIZE.)
   */
  replaced: 0x540000,
  /** u32 for each jump cell: the block of its own region that the place was compiled with as its target (chain.ts), or 0. */
  ownTargets: 0x560000,
  code: 0x5a0000,
} as const;
export const LARGE_MAP_SIZE = 1024;

/** Bytes of decoded code per vCPU. */
export const CODE_SIZE = 24 << 20;
export const VCPU_AREA = 0x10000;
export const VCPU_AREA_SIZE = AREA.code + CODE_SIZE;

/** Where guest memory starts, for a VM of `vcpus`. */
export function ramBase(vcpus: number): number {
  return align(VCPU_AREA + vcpus * VCPU_AREA_SIZE, 1 << 21);
}

export function areaOf(vcpu: number): number {
  return VCPU_AREA + vcpu * VCPU_AREA_SIZE;
}

export function blockOf(vcpu: number): number {
  return vcpu * CPU_SIZE;
}

/** The vCPU whose block is at `block`. */
export function vcpuOf(block: number): number {
  return block / CPU_SIZE;
}

/** The area of the vCPU whose block is at `cpu`, as generated code computes it. */
export const AREA_PER_BLOCK_BYTE = VCPU_AREA_SIZE / CPU_SIZE;

export function align(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
