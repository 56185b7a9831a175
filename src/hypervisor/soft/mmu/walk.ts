/**
 * The page walker in WebAssembly (Intel SDM vol. 3, chapter 4): 4-level, PAE and 32-bit paging, or none.
 *
 * A fault is never a trap: CPU.fault and its companions are set and the caller looks.
 */

import { CR4, EFER, VECTOR } from '../architecture.ts';
import { PAGE_WRITABLE, REGION, REGION_SIZE, REGIONS } from '../layout.ts';
import { CPU } from '../state.ts';
import { atomicCompareExchange } from '../wasm/atomics.ts';
import { I32, I64, select } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';

/** Kinds of access, as bits; they stand where a page fault's error code has them. */
export const ACCESS = { read: 0, write: 2, user: 4, fetch: 16 } as const;
/**
 * The vector that an address outside the canonical halves is reported with: #SS or #GP, depending on what the instruction
 * used it for. Whoever takes the fault out of CPU.fault decides.
 */
export const NON_CANONICAL = 32;

/** Bits of paging-structure entries. */
export const PTE = {
  present: 1,
  writable: 2,
  user: 4,
  accessed: 0x20,
  dirty: 0x40,
  large: 0x80,
  global: 0x100,
} as const;
/** Physical addresses have 46 bits (CPUID 0x80000008 says so): the bits above, up to 51, are reserved. */
const RESERVED_ADDRESS_BITS = 0x000f_c000_0000_0000n;
/** PAE paging outside long mode reserves the bits up to 62 too (SDM vol. 3, tables 4-9 to 4-11). */
const RESERVED_PAE_BITS = 0x7fff_c000_0000_0000n;
/** In the page directory entry of a 4 MiB page with 40 physical address bits (table 4-4). */
const RESERVED_PSE36_BIT = 1 << 21;
const ADDRESS_BITS = 0x000f_ffff_ffff_f000n;

/** (gpa: i64) -> address of the region's entry, 0 if gpa is no memory. */
export function defineRegionOf(m: ModuleBuilder): Callable {
  return m.func(['i64'], ['i32'], (f, gpa) => {
    const entry = f.variable(I32.const(REGIONS + 8));
    const end = f.let(f.load32(I32.const(REGIONS)).mul(REGION_SIZE).add(entry));
    f.loop((again) => {
      f.if(gpa.sub(f.load64(entry, REGION.start)).ltU(f.load64(entry, REGION.size)), () => {
        const pages = f.let(f.load32(entry, REGION.pages));
        f.if(pages, () => f.return(entry.mul(f.load8u(pages.add(pageIn(f, entry, gpa))).ne(0))));
        f.return(entry);
      });
      f.set(entry, entry.add(REGION_SIZE));
      f.brIf(again, entry.ltU(end));
    });
    f.return(I32.const(0));
  });
}

/** WebAssembly address of `gpa`, which lies in region entry `region`. */
export function regionHost(f: FunctionBuilder, region: I32, gpa: I64): I32 {
  return offsetIn(f, region, gpa).add(f.load32(region, REGION.host));
}

/** Number of the page of `gpa` within region entry `region`. */
export function pageIn(f: FunctionBuilder, region: I32, gpa: I64): I32 {
  return offsetIn(f, region, gpa).shrU(12);
}

function offsetIn(f: FunctionBuilder, region: I32, gpa: I64): I32 {
  return gpa.sub(f.load64(region, REGION.start)).wrap().and(f.load32(region, REGION.mask));
}

/** Whether the guest may write to the page of `gpa`, in region entry `region`. */
export function isWritable(f: FunctionBuilder, region: I32, gpa: I64): I32 {
  const writable = f.variable(f.load32(region, REGION.readOnly).eqz());
  const pages = f.let(f.load32(region, REGION.pages));
  f.if(pages, () => f.set(writable, f.load8u(pages.add(pageIn(f, region, gpa))).and(PAGE_WRITABLE)));
  return writable;
}

/** Writes to the page of `gpa`, in region entry `region`, begin now. */
export function noteDirty(f: FunctionBuilder, region: I32, gpa: I64): void {
  const map = f.let(f.load32(region, REGION.dirtyMap));
  f.if(map, () => f.store8(map.add(pageIn(f, region, gpa)), 0, 1));
}

/** Sets CPU.fault to a page fault and returns -1. */
function pageFault(f: FunctionBuilder, cpu: I32, va: I64, code: I32): void {
  f.store32(cpu, CPU.fault, VECTOR.pf + 1);
  f.store64(cpu, CPU.faultAddress, va);
  f.store32(cpu, CPU.faultError, code);
  f.return(I64.const(-1));
}

/**
 * (cpu, va: i64, access) -> guest physical address or -1. Leaves the low half of the leaf entry (with `large` set if the
 * page is larger than 4 KiB) at CPU.scratch + 8 and the binary logarithm of the page's size at CPU.scratch + 12.
 */
export function defineWalk(m: ModuleBuilder, regionOf: Callable): Callable {
  return m.func(
    ['i32', 'i64', 'i32'],
    ['i64'],
    (f, cpu, va, access) => emitWalk(f, regionOf, { cpu, va, access }),
    'walk',
  );
}

function emitWalk(f: FunctionBuilder, regionOf: Callable, { cpu, va, access }: Request): void {
  f.store64(cpu, CPU.scratch + 8, 0);
  const cr0 = f.let(f.load64(cpu, CPU.cr0).wrap());
  f.if(cr0.geS(0), () => f.return(va.and(0xffff_ffff))); // PG is bit 31

  const cr4 = f.let(f.load64(cpu, CPU.cr4).wrap());
  const efer = f.let(f.load64(cpu, CPU.efer).wrap());
  const shift = f.local('i32');
  const wide = f.variable(I32.const(1)); // entries of 8 bytes
  const reservedBits = f.variable(I64.const(RESERVED_ADDRESS_BITS));
  const top = f.local('i32'); // a PAE page-directory-pointer entry has no permission bits
  f.if(
    efer.and(EFER.lma),
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
        cr4.and(CR4.pae),
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
  const nxe = f.let(efer.and(EFER.nxe).ne(0));
  const table = f.variable(f.load64(cpu, CPU.cr3).and(ADDRESS_BITS));
  f.if(f.load64(cpu, CPU.efer).wrap().and(EFER.lma).eqz(), () => f.set(table, table.and(0xffff_ffff)));
  f.if(top, () => f.set(table, f.load64(cpu, CPU.cr3).and(0xffff_ffe0)));
  const allowed = f.variable(I32.const(PTE.writable | PTE.user));
  const noExecute = f.local('i32');
  const entry = f.local('i64');
  const entryAt = f.local('i32');
  // Error code: what was asked, with the fetch bit only where entries can forbid it.
  const asked = f.let(access.and(ACCESS.write | ACCESS.user).or(access.and(ACCESS.fetch).mul(nxe.and(wide))));

  f.loop((next) => {
    const index = va.shrU(shift.toI64()).and(select(wide, I64.const(511), I64.const(1023)));
    const entryGpa = f.let(table.add(index.shl(wide.add(2).toI64())));
    const region = f.let(f.call(regionOf, 'i32', entryGpa));
    f.if(region.eqz(), () => pageFault(f, cpu, va, asked)); // tables outside RAM read as not present
    f.set(entryAt, regionHost(f, region, entryGpa));
    f.if(
      wide,
      () => f.set(entry, f.load64(entryAt)),
      () => f.set(entry, f.load32u64(entryAt)),
    );
    f.if(entry.and(PTE.present).eqz(), () => pageFault(f, cpu, va, asked));
    f.if(wide, () => {
      const reserved = f.let(entry.and(reservedBits).ne(0).or(entry.ltS(0).and(nxe.eqz())));
      f.if(reserved, () => pageFault(f, cpu, va, asked.or(9)));
    });
    const isLarge = f.variable(entry.wrap().and(PTE.large).ne(0).and(shift.gtU(12)).and(top.eqz()));
    // 4 MiB pages need CR4.PSE; PML4 entries and PDPT entries of PAE have no large form.
    f.if(wide.eqz().and(cr4.and(CR4.pse).eqz()), () => f.set(isLarge, I32.const(0)));
    f.if(isLarge.and(shift.eq(39)), () => pageFault(f, cpu, va, asked.or(9)));
    const isNoExecute = wide.and(entry.ltS(0));
    const change = (changed: I64) =>
      changeEntry(f, { region, gpa: entryGpa, entryAt, wide, entry, changed }, () => f.br(next));
    f.if(shift.eq(12).or(isLarge), () =>
      finishWalk(f, {
        ...{ cpu, va, access, cr0, shift, wide, entry, isLarge, asked },
        allowed: f.let(allowed.and(entry.wrap())),
        noExecute: f.let(noExecute.or(isNoExecute)),
        change,
      }),
    );
    f.if(top.eqz(), () => {
      f.if(entry.wrap().and(PTE.accessed).eqz(), () => change(entry.or(PTE.accessed)));
      f.set(allowed, allowed.and(entry.wrap()));
    });
    f.set(noExecute, noExecute.or(isNoExecute));
    f.set(top, I32.const(0));
    f.set(table, entry.and(ADDRESS_BITS));
    f.set(shift, shift.add(wide).sub(10));
    f.br(next);
  });
  f.unreachable();
}

interface Request {
  readonly cpu: I32;
  /** Without long mode its upper half is cleared. */
  readonly va: Local<'i64'>;
  readonly access: I32;
}

interface Leaf extends Request {
  cr0: I32;
  shift: Local<'i32'>;
  wide: I32;
  entry: Local<'i64'>;
  allowed: I32;
  noExecute: I32;
  asked: I32;
  isLarge: I32;
  /** Replaces the entry, or looks at it again. */
  change: (changed: I64) => void;
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
    leaf.change(entry.or(wanted.toI64()));
    f.set(entry, entry.or(wanted.toI64()));
  });
  f.store32(cpu, CPU.scratch + 8, entry.wrap().and(~PTE.large).or(isLarge.shl(7)));
  f.store32(cpu, CPU.scratch + 12, shift);
  f.if(wide.eqz().and(isLarge), () =>
    // PSE-36: bits 13-20 are address bits 32-39 (SDM vol. 3, table 4-4).
    f.return(entry.and(0xffc0_0000).or(entry.shrU(13).and(0xff).shl(32)).or(va.and(inPage))),
  );
  f.return(entry.and(ADDRESS_BITS).and(inPage.xor(-1)).or(va.and(inPage)));
}

/** A paging-structure entry that was read as `entry`. */
interface Entry {
  readonly region: I32;
  readonly gpa: I64;
  readonly entryAt: I32;
  /** Whether it has 8 bytes, not 4. */
  readonly wide: I32;
  readonly entry: I64;
  readonly changed: I64;
}

/**
 * Replaces an entry by `changed`, if it is still what was read: another vCPU may have unmapped the page since. If it is
 * not, `again` is emitted. In memory that is read-only an entry stays as it is.
 */
function changeEntry(f: FunctionBuilder, change: Entry, again: () => void): void {
  const { region, gpa, entryAt, wide, entry, changed } = change;
  f.if(isWritable(f, region, gpa), () => {
    noteDirty(f, region, gpa);
    f.if(
      wide,
      () => f.if(atomicCompareExchange(f, entryAt, 8, entry, changed).ne(entry), again),
      () => f.if(atomicCompareExchange(f, entryAt, 4, entry, changed).ne(entry), again),
    );
  });
}
