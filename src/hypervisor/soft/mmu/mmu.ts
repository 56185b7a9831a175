/**
 * Address translation in WebAssembly: the page walker (Intel SDM vol. 3, chapter 4), the TLB filler, and the loads and
 * stores that the one-compare fast path of generated code could not do (TLB miss, page crossing, MMIO, code pages).
 *
 * A fault is never a trap: CPU.fault and its companions are set and the caller looks.
 */

import {
  AREA,
  AREA_PER_BLOCK_BYTE,
  FILL_LOG_ENTRIES,
  LARGE_MAP_SIZE,
  REGION,
  REGION_SIZE,
  REGIONS,
  TLB_ENTRIES,
  TLB_ENTRY,
  TLB_ENTRY_SIZE,
  VCPU_AREA,
} from '../layout.ts';
import type { Size } from '../semantics/flags.ts';
import { CPU } from '../state.ts';
import { I32, I64, select, type ValType } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';

/** Kinds of access, as bits; they stand where a page fault's error code has them. */
export const ACCESS = { read: 0, write: 2, user: 4, fetch: 16 } as const;
const PAGE_FAULT = 14;
/**
 * The vector that an address outside the canonical halves is reported with: #SS or #GP, depending on what the instruction
 * used it for. Whoever takes the fault out of CPU.fault decides.
 */
export const NON_CANONICAL = 32;

const PTE = { present: 1, writable: 2, user: 4, accessed: 0x20, dirty: 0x40, large: 0x80, global: 0x100 } as const;
/** Physical addresses have 46 bits (CPUID 0x80000008 says so): the bits above, up to 51, are reserved. */
const RESERVED_ADDRESS_BITS = 0x000f_c000_0000_0000n;
/** PAE paging outside long mode reserves the bits up to 62 too (SDM vol. 3, tables 4-9 to 4-11). */
const RESERVED_PAE_BITS = 0x7fff_c000_0000_0000n;
/** In the page directory entry of a 4 MiB page with 40 physical address bits (table 4-4). */
const RESERVED_PSE36_BIT = 1 << 21;
const ADDRESS_BITS = 0x000f_ffff_ffff_f000n;

/** What the MMU needs from TypeScript: both take the access's guest physical address from CPU.scratch. */
export interface MmuImports {
  /** (cpu, size): an MMIO read into CPU.io. */
  readonly mmioRead: Callable;
  /** (cpu, size): an MMIO write from CPU.io. */
  readonly mmioWrite: Callable;
  /** (cpu, size): bytes that decoded code was made from have been written. */
  readonly codeWritten: Callable;
}

export interface Mmu {
  /** (cpu, va: i64, access) -> WebAssembly address; 0: not RAM, CPU.scratch is the gpa; -1: fault. */
  readonly translate: Callable;
  /** By size: (cpu, va: i64) -> i64, with CPU.fault set if it failed. */
  readonly load: Record<Size, Callable>;
  /** By size: (cpu, va: i64, value: i64). */
  readonly store: Record<Size, Callable>;
  /**
   * (cpu, va: i64, size): makes sure that a store there will succeed, or sets CPU.fault. For read-modify-write: the
   * fault must come before anything is changed.
   */
  readonly probeWrite: Callable;
}

export function defineMmu(m: ModuleBuilder, imports: MmuImports): Mmu {
  const region = defineRegionOf(m);
  const walk = defineWalk(m, region);
  const fill = defineFill(m, region, walk);
  const translate = defineTranslate(m, fill);
  defineFetch(m, fill);
  const load1 = defineLoad(m, 1, translate, imports, undefined);
  const store1 = defineStore(m, 1, fill, region, imports, undefined);
  const probeWrite = defineProbeWrite(m, fill);
  const store = (size: Size) => defineStore(m, size, fill, region, imports, { store1, probeWrite });
  const load = (size: Size) => defineLoad(m, size, translate, imports, load1);
  return {
    translate,
    load: { 1: load1, 2: load(2), 4: load(4), 8: load(8) },
    store: { 1: store1, 2: store(2), 4: store(4), 8: store(8) },
    probeWrite,
  };
}

/** Address of the TLB entry for `va` in the TLB at `tlb`. */
export function tlbEntry(va: I64, tlb: I32): I32 {
  return va
    .wrap()
    .shrU(7)
    .and((TLB_ENTRIES - 1) * TLB_ENTRY_SIZE)
    .add(tlb);
}

/** Address of the vCPU's area. */
function area(cpu: I32): I32 {
  return cpu.mul(AREA_PER_BLOCK_BYTE).add(VCPU_AREA);
}

/** A load of `size` bytes, zero-extended. */
export function loadSized(f: FunctionBuilder, address: I32, size: Size, offset = 0): I64 {
  if (size === 1) return f.load8u64(address, offset);
  if (size === 2) return f.load16u64(address, offset);
  return size === 4 ? f.load32u64(address, offset) : f.load64(address, offset);
}

/** A store of the low `size` bytes. */
export function storeSized(f: FunctionBuilder, address: I32, size: Size, value: I64, offset = 0): void {
  if (size === 1) f.store8of64(address, offset, value);
  else if (size === 2) f.store16of64(address, offset, value);
  else if (size === 4) f.store32of64(address, offset, value);
  else f.store64(address, offset, value);
}

/** (gpa: i64) -> address of the region's entry, 0 if no region holds gpa. */
function defineRegionOf(m: ModuleBuilder): Callable {
  return m.func(['i64'], ['i32'], (f, gpa) => {
    const entry = f.let(I32.const(REGIONS + 8));
    const end = f.let(f.load32(I32.const(REGIONS)).mul(REGION_SIZE).add(entry));
    f.loop((again) => {
      f.if(gpa.sub(f.load64(entry, REGION.start)).ltU(f.load64(entry, REGION.size)), () => f.return(entry));
      f.set(entry, entry.add(REGION_SIZE));
      f.brIf(again, entry.ltU(end));
    });
    f.return(I32.const(0));
  });
}

/** WebAssembly address of `gpa`, which lies in region entry `region`. */
function regionHost(f: FunctionBuilder, region: I32, gpa: I64): I32 {
  return gpa.sub(f.load64(region, REGION.start)).wrap().add(f.load32(region, REGION.host));
}

/** Sets CPU.fault to a page fault and returns -1. */
function pageFault(f: FunctionBuilder, cpu: I32, va: I64, code: I32): void {
  f.store32(cpu, CPU.fault, PAGE_FAULT + 1);
  f.store64(cpu, CPU.faultAddress, va);
  f.store32(cpu, CPU.faultError, code);
  f.return(I64.const(-1));
}

/**
 * (cpu, va: i64, access) -> guest physical address or -1. Leaves the low half of the leaf entry (with `large` set if the
 * page is larger than 4 KiB) at CPU.scratch + 8 and the binary logarithm of the page's size at CPU.scratch + 12.
 */
function defineWalk(m: ModuleBuilder, regionOf: Callable): Callable {
  return m.func(['i32', 'i64', 'i32'], ['i64'], (f, cpu, va, access) => {
    f.store64(cpu, CPU.scratch + 8, 0);
    const cr0 = f.let(f.load64(cpu, CPU.cr0).wrap());
    f.if(cr0.geS(0), () => f.return(va.and(0xffff_ffff))); // PG is bit 31

    const cr4 = f.let(f.load64(cpu, CPU.cr4).wrap());
    const efer = f.let(f.load64(cpu, CPU.efer).wrap());
    const shift = f.local('i32');
    const wide = f.let(I32.const(1)); // entries of 8 bytes
    const reservedBits = f.let(I64.const(RESERVED_ADDRESS_BITS));
    const top = f.local('i32'); // a PAE page-directory-pointer entry has no permission bits
    f.if(
      efer.and(0x400), // LMA
      () => {
        f.if(va.shl(16).shrS(16).ne(va), () => {
          f.store32(cpu, CPU.fault, NON_CANONICAL + 1);
          f.store32(cpu, CPU.faultError, 0);
          f.return(I64.const(-1));
        });
        f.set(shift, I32.const(39));
      },
      () => {
        f.set(va, va.and(0xffff_ffff));
        f.if(
          cr4.and(0x20), // PAE
          () => {
            f.set(shift, I32.const(30));
            f.set(top, I32.const(1));
            f.set(reservedBits, I64.const(RESERVED_PAE_BITS));
          },
          () => {
            f.set(shift, I32.const(22));
            f.set(wide, I32.const(0));
          },
        );
      },
    );
    const nxe = f.let(efer.and(0x800).ne(0));
    const table = f.let(f.load64(cpu, CPU.cr3).and(ADDRESS_BITS));
    f.if(f.load64(cpu, CPU.efer).wrap().and(0x400).eqz(), () => f.set(table, table.and(0xffff_ffff)));
    f.if(top, () => f.set(table, f.load64(cpu, CPU.cr3).and(0xffff_ffe0)));
    const allowed = f.let(I32.const(PTE.writable | PTE.user));
    const noExecute = f.local('i32');
    const entry = f.local('i64');
    const entryAt = f.local('i32');
    // Error code: what was asked, with the fetch bit only where entries can forbid it.
    const asked = f.let(access.and(ACCESS.write | ACCESS.user).or(access.and(ACCESS.fetch).mul(nxe.and(wide))));

    f.loop((next) => {
      const index = va.shrU(shift.toI64()).and(select(wide, I64.const(511), I64.const(1023)));
      f.set(table, table.add(index.shl(wide.add(2).toI64())));
      const region = f.let(f.call(regionOf, 'i32', table));
      f.if(region.eqz(), () => pageFault(f, cpu, va, asked)); // tables outside RAM read as not present
      f.set(entryAt, regionHost(f, region, table));
      f.if(
        wide,
        () => f.set(entry, f.load64(entryAt)),
        () => f.set(entry, f.load32u64(entryAt)),
      );
      f.if(entry.and(PTE.present).eqz(), () => pageFault(f, cpu, va, asked));
      f.if(wide, () => {
        const reserved = f.let(entry.and(reservedBits).ne(0).or(entry.ltS(0).and(nxe.eqz())));
        f.if(reserved, () => pageFault(f, cpu, va, asked.or(9)));
        f.if(entry.ltS(0), () => f.set(noExecute, I32.const(1)));
      });
      f.if(top.eqz(), () => f.set(allowed, allowed.and(entry.wrap())));
      const isLarge = f.let(entry.wrap().and(PTE.large).ne(0).and(shift.gtU(12)).and(top.eqz()));
      // 4 MiB pages need CR4.PSE; PML4 entries and PDPT entries of PAE have no large form.
      f.if(wide.eqz().and(cr4.and(0x10).eqz()), () => f.set(isLarge, I32.const(0)));
      f.if(isLarge.and(shift.eq(39)), () => pageFault(f, cpu, va, asked.or(9)));
      f.if(shift.eq(12).or(isLarge), () =>
        finishWalk(f, {
          ...{ cpu, va, access, cr0, shift, wide, entry, allowed, noExecute, asked, isLarge },
          change: (low) => changeEntry(f, { region, table, entryAt, low }),
        }),
      );
      f.if(top.eqz().and(entry.wrap().and(PTE.accessed).eqz()), () =>
        changeEntry(f, { region, table, entryAt, low: entry.wrap().or(PTE.accessed) }),
      );
      f.set(top, I32.const(0));
      f.set(table, entry.and(ADDRESS_BITS));
      f.set(shift, shift.add(wide).sub(10));
      f.br(next);
    });
    f.unreachable();
  });
}

interface Leaf {
  cpu: I32;
  va: I64;
  access: I32;
  cr0: I32;
  shift: Local<'i32'>;
  wide: I32;
  entry: Local<'i64'>;
  allowed: I32;
  noExecute: I32;
  asked: I32;
  isLarge: I32;
  /** Sets the low byte of the entry. */
  change: (low: I32) => void;
}

/** Checks the permissions at the leaf, sets A and D, and returns the physical address. */
function finishWalk(f: FunctionBuilder, leaf: Leaf): void {
  const { cpu, va, access, cr0, shift, wide, entry, allowed, noExecute, asked, isLarge } = leaf;
  const inPage = f.let(I64.const(1).shl(shift.toI64()).sub(1));
  // Bits 13 and up to the page size are reserved in large entries of 8 bytes (bit 12 is PAT).
  const reservedBits = select(wide, inPage.and(0x3fff_e000), I64.const(RESERVED_PSE36_BIT));
  f.if(isLarge.and(entry.and(reservedBits).ne(0)), () => pageFault(f, cpu, va, asked.or(9)));
  const denied = (why: I32) => f.if(why, () => pageFault(f, cpu, va, asked.or(1)));
  const user = f.let(access.and(ACCESS.user).ne(0));
  denied(user.and(allowed.and(PTE.user).eqz()));
  const mustBeWritable = access
    .and(ACCESS.write)
    .ne(0)
    .and(user.or(cr0.shrU(16).and(1))); // CR0.WP
  denied(mustBeWritable.and(allowed.and(PTE.writable).eqz()));
  denied(access.and(ACCESS.fetch).ne(0).and(noExecute));

  const wanted = f.let(access.and(ACCESS.write).shl(5).or(PTE.accessed)); // the write bit becomes D
  f.if(entry.wrap().and(wanted).ne(wanted), () => {
    f.set(entry, entry.or(wanted.toI64()));
    leaf.change(entry.wrap());
  });
  f.store32(cpu, CPU.scratch + 8, entry.wrap().and(~PTE.large).or(isLarge.shl(7)));
  f.store32(cpu, CPU.scratch + 12, shift);
  f.if(wide.eqz().and(isLarge), () =>
    // PSE-36: bits 13-20 are address bits 32-39 (SDM vol. 3, table 4-4).
    f.return(entry.and(0xffc0_0000).or(entry.shrU(13).and(0xff).shl(32)).or(va.and(inPage))),
  );
  f.return(entry.and(ADDRESS_BITS).and(inPage.xor(-1)).or(va.and(inPage)));
}

/** Sets the low byte of a paging-structure entry, at gpa `table`; in memory that is read-only it stays as it is. */
function changeEntry(
  f: FunctionBuilder,
  { region, table, entryAt, low }: Record<'region' | 'entryAt' | 'low', I32> & { table: I64 },
): void {
  f.if(f.load32(region, REGION.readOnly).eqz(), () => {
    noteDirty(f, region, table);
    f.store8(entryAt, 0, low);
  });
}

/**
 * (cpu, va: i64, access) -> like Mmu.translate, by a walk that also fills the TLB. A write leaves the entry writable
 * unless the page is read-only or holds decoded code; CPU.scratch is the gpa.
 */
function defineFill(m: ModuleBuilder, regionOf: Callable, walk: Callable): Callable {
  return m.func(['i32', 'i64', 'i32'], ['i32'], (f, cpu, va, access) => {
    const gpa = f.let(f.call(walk, 'i64', cpu, va, access));
    f.if(gpa.eq(-1), () => f.return(I32.const(-1)));
    f.store64(cpu, CPU.scratch, gpa);
    const region = f.let(f.call(regionOf, 'i32', gpa));
    f.if(region.eqz(), () => f.return(I32.const(0)));
    const host = f.let(regionHost(f, region, gpa));
    const writing = f.let(access.and(ACCESS.write));
    f.if(writing.and(f.load32(region, REGION.readOnly).shl(1)), () => f.return(I32.const(0)));
    f.if(writing, () => noteDirty(f, region, gpa));
    f.if(access.and(ACCESS.fetch), () => f.return(host)); // code has caches of its own

    const base = f.let(area(cpu));
    const tlb = f.let(base.add(access.and(ACCESS.user).ne(0).mul(AREA.tlbUser)));
    const entry = f.let(tlbEntry(va, tlb));
    const page = f.let(va.and(-4096));
    const isNew = f.let(page.ne(f.load64(entry, TLB_ENTRY.read)));
    f.store64(entry, TLB_ENTRY.read, page);
    f.store32(entry, TLB_ENTRY.host, host.sub(va.wrap()));
    f.store32(entry, TLB_ENTRY.page, gpa.shrU(12).wrap());
    const code = codeMapEntry(f, region, gpa);
    f.if(
      writing.and(f.load64(code).eqz().shl(1)),
      () => f.store64(entry, TLB_ENTRY.write, page),
      // A page whose index differs from this entry's can never match an address that maps here.
      () => f.store64(entry, TLB_ENTRY.write, page.xor(0x1000)),
    );
    const leaf = f.let(f.load64(cpu, CPU.scratch + 8).wrap());
    f.if(leaf.and(PTE.large), () => noteLargePage(f, cpu, base.add(AREA.largeMap), va));
    const isGlobal = leaf.shrU(8).and(f.load64(cpu, CPU.cr4).wrap().shrU(7)).and(1); // G and CR4.PGE
    f.if(isNew.and(isGlobal.eqz()), () => {
      const count = f.let(f.load32(base, AREA.fillLog));
      // One beyond the most means that the log is not complete.
      f.if(count.leU(FILL_LOG_ENTRIES), () => f.store32(base, AREA.fillLog, count.add(1)));
      f.if(count.ltU(FILL_LOG_ENTRIES), () => f.store32(base.add(count.shl(2)), AREA.fillLog + 4, entry));
    });
    f.return(host);
  });
}

/** INVLPG of any address in the page of `va` has to drop all of the page: marks all of its 2 MiB in the large map. */
function noteLargePage(f: FunctionBuilder, cpu: I32, map: I32, va: I64): void {
  const shift = f.let(f.load32(cpu, CPU.scratch + 12));
  const index = f.let(va.shrU(21).wrap());
  const at = (mask: number) => map.add(index.and(mask));
  f.if(shift.eq(21), () => f.store8(at(LARGE_MAP_SIZE - 1), 0, 1));
  f.if(shift.eq(22), () => f.store16(at(LARGE_MAP_SIZE - 2), 0, 0x0101));
  f.if(shift.eq(30), () => f.memoryFill(at(LARGE_MAP_SIZE / 2), I32.const(1), I32.const(LARGE_MAP_SIZE / 2)));
}

/** Writes to the page of `gpa`, in region entry `region`, begin now. */
function noteDirty(f: FunctionBuilder, region: I32, gpa: I64): void {
  const map = f.let(f.load32(region, REGION.dirtyMap));
  const page = gpa.sub(f.load64(region, REGION.start)).shrU(12).wrap();
  f.if(map, () => f.store8(map.add(page), 0, 1));
}

/** Address of the code map entry of the page of `gpa`. */
function codeMapEntry(f: FunctionBuilder, region: I32, gpa: I64): I32 {
  return f.let(gpa.sub(f.load64(region, REGION.start)).shrU(12).shl(3).wrap().add(f.load32(region, REGION.codeMap)));
}

/** For reads, and for TypeScript: tries the TLB of the access's privilege first. */
function defineTranslate(m: ModuleBuilder, fill: Callable): Callable {
  return m.func(
    ['i32', 'i64', 'i32'],
    ['i32'],
    (f, cpu, va, access) => {
      f.if(access.and(ACCESS.write | ACCESS.fetch).eqz(), () => {
        const tlb = area(cpu).add(access.and(ACCESS.user).ne(0).mul(AREA.tlbUser));
        const entry = f.let(tlbEntry(va, tlb));
        f.if(va.xor(f.load64(entry, TLB_ENTRY.read)).ltU(4096), () =>
          f.return(va.wrap().add(f.load32(entry, TLB_ENTRY.host))),
        );
      });
      f.return(f.call(fill, 'i32', cpu, va, access));
    },
    'translate',
  );
}

/** (cpu) -> like translate, for code at CPU.rip, whose linear address is left in CPU.fetchAddress. For TypeScript. */
function defineFetch(m: ModuleBuilder, fill: Callable): void {
  m.func(
    ['i32'],
    ['i32'],
    (f, cpu) => {
      const linear = f.load64(cpu, CPU.rip).add(f.load64(cpu, CPU.csBase)).and(f.load64(cpu, CPU.ripMask));
      f.store64(cpu, CPU.fetchAddress, linear);
      f.return(f.call(fill, 'i32', cpu, f.load64(cpu, CPU.fetchAddress), userBit(f, cpu).or(ACCESS.fetch)));
    },
    'fetch',
  );
}

/** ACCESS.user if the current privilege is 3. */
function userBit(f: FunctionBuilder, cpu: I32): I32 {
  return f.load32(cpu, CPU.cpl).eq(3).shl(2);
}

function crossesPage(va: I64, size: Size): I32 {
  return va
    .wrap()
    .and(0xfff)
    .gtU(4096 - size);
}

function defineLoad(
  m: ModuleBuilder,
  size: Size,
  translate: Callable,
  imports: MmuImports,
  load1: Callable | undefined,
): Callable {
  return m.func(
    ['i32', 'i64'],
    ['i64'],
    (f, cpu, va) => {
      if (load1 !== undefined) {
        f.if(crossesPage(va, size), () => {
          // From the lowest byte on: the first page faults first, the second one at its start.
          const result = f.local('i64');
          const i = f.local('i64');
          f.loop((again) => {
            f.set(result, result.or(f.call(load1, 'i64', cpu, va.add(i)).shl(i.shl(3))));
            f.if(f.load32(cpu, CPU.fault), () => f.return(I64.const(0)));
            f.set(i, i.add(1));
            f.brIf(again, i.ltU(size));
          });
          f.return(result);
        });
      }
      const host = f.let(f.call(translate, 'i32', cpu, va, userBit(f, cpu)));
      f.if(host.eq(-1), () => f.return(I64.const(0)));
      f.if(host, () => f.return(loadSized(f, host, size)));
      f.run(imports.mmioRead, cpu, I32.const(size));
      f.return(loadSized(f, cpu, size, CPU.io));
    },
    `load${size}`,
  );
}

function defineStore(
  m: ModuleBuilder,
  size: Size,
  fill: Callable,
  regionOf: Callable,
  imports: MmuImports,
  bytewise: { store1: Callable; probeWrite: Callable } | undefined,
): Callable {
  return m.func(
    ['i32', 'i64', 'i64'],
    [],
    (f, cpu, va, value) => {
      if (bytewise !== undefined) {
        f.if(crossesPage(va, size), () => {
          f.run(bytewise.probeWrite, cpu, va, I32.const(size));
          f.if(f.load32(cpu, CPU.fault), () => f.return());
          const i = f.local('i64');
          f.loop((again) => {
            f.run(bytewise.store1, cpu, va.add(i), value.shrU(i.shl(3)));
            f.set(i, i.add(1));
            f.brIf(again, i.ltU(size));
          });
          f.return();
        });
      }
      const host = f.let(f.call(fill, 'i32', cpu, va, userBit(f, cpu).or(ACCESS.write)));
      f.if(host.eq(-1), () => f.return());
      f.if(host.eqz(), () => {
        f.store64(cpu, CPU.io, value);
        f.run(imports.mmioWrite, cpu, I32.const(size));
        f.return();
      });
      storeSized(f, host, size, value);
      noteCodeWrite(f, cpu, size, regionOf, imports);
    },
    `store${size}`,
  );
}

/** If decoded code was made from the 64-byte pieces that were written, says so. CPU.scratch is the gpa. */
function noteCodeWrite(f: FunctionBuilder, cpu: I32, size: Size, regionOf: Callable, imports: MmuImports): void {
  const gpa = f.let(f.load64(cpu, CPU.scratch));
  const region = f.let(f.call(regionOf, 'i32', gpa));
  const map = f.let(f.load64(codeMapEntry(f, region, gpa)));
  const piece = (at: I64) => map.shrU(at.shrU(6).and(63));
  f.if(
    piece(gpa)
      .or(piece(gpa.add(size - 1)))
      .wrap()
      .and(1),
    () => f.run(imports.codeWritten, cpu, I32.const(size)),
  );
}

function defineProbeWrite(m: ModuleBuilder, fill: Callable): Callable {
  return m.func(
    ['i32', 'i64', 'i32'],
    [],
    (f, cpu, va, size) => {
      const access = f.let(userBit(f, cpu).or(ACCESS.write));
      f.drop(f.call(fill, 'i32', cpu, va, access));
      f.if(f.load32(cpu, CPU.fault), () => f.return());
      const second = f.let(va.add(size.toI64()).sub(1).and(-4096));
      f.if(second.ne(va.and(-4096)), () => f.drop(f.call(fill, 'i32', cpu, second, access)));
    },
    'probeWrite',
  );
}

export const MMU_IMPORT_PARAMS: readonly ValType[] = ['i32', 'i32'];
