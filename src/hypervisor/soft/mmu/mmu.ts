/**
 * Memory accesses in WebAssembly: the TLB filler over the page walker (walk.ts), and the loads and
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
  TLB_ENTRIES,
  TLB_ENTRY,
  TLB_ENTRY_SIZE,
  VCPU_AREA,
} from '../layout.ts';
import type { Size } from '../semantics/flags.ts';
import { CPU } from '../state.ts';
import { atomicFence } from '../wasm/atomics.ts';
import { F64, I32, I64, type I64Like, select, type ValType } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';
import { defineFlushes, type Flushes } from './flush.ts';
import { defineLocked, defineLockedResult } from './locked.ts';
import { loadSized, storeSized } from './sized.ts';
import { ACCESS, defineRegionOf, defineWalk, isWritable, noteDirty, PTE, pageIn, regionHost } from './walk.ts';

/** What the MMU needs from TypeScript: both take the access's guest physical address from CPU.scratch. */
export interface MmuImports {
  /** (cpu, size): an MMIO read into CPU.io. */
  readonly mmioRead: Callable;
  /** (cpu, size): an MMIO write from CPU.io. */
  readonly mmioWrite: Callable;
  /** (cpu, size): bytes that decoded code was made from have been written. */
  readonly codeWritten: Callable;
}

export interface Mmu extends Flushes {
  /** (cpu, va: i64, access) -> WebAssembly address; 0: not RAM, CPU.scratch is the gpa; -1: fault. */
  readonly translate: Callable;
  /** By size: (cpu, va: i64) -> i64, with CPU.fault set if it failed. */
  readonly load: Record<Size, Callable>;
  /** By size: (cpu, va: i64, value: i64). */
  readonly store: Record<Size, Callable>;
  /** By size: (cpu, va: i64, kind, operand: i64, expected: i64) -> the old value: locked.ts. */
  readonly locked: Record<Size, Callable>;
  /**
   * (cpu, va: i64, size): makes sure that a store there will succeed, or sets CPU.fault. For read-modify-write: the
   * fault must come before anything is changed.
   */
  readonly probeWrite: Callable;
}

/** What only the core module uses. */
export interface CoreMmu extends Mmu {
  /** (cpu) -> like translate, for code at CPU.rip, whose linear address is left in CPU.fetchAddress. */
  readonly fetch: Callable;
}

export function defineMmu(m: ModuleBuilder, imports: MmuImports): CoreMmu {
  const region = defineRegionOf(m);
  const walk = defineWalk(m, region);
  const fill = defineFill(m, region, walk);
  const translate = defineTranslate(m, fill);
  const fetch = defineFetch(m, fill);
  const load1 = defineLoad(m, 1, translate, imports, undefined);
  const store1 = defineStore(m, 1, fill, region, imports, undefined);
  const probeWrite = defineProbeWrite(m, fill);
  const flushes = defineFlushes(m);
  const store = (size: Size) => defineStore(m, size, fill, region, imports, { store1, probeWrite });
  const load = (size: Size) => defineLoad(m, size, translate, imports, load1);
  const loads = { 1: load1, 2: load(2), 4: load(4), 8: load(8) };
  const stores = { 1: store1, 2: store(2), 4: store(4), 8: store(8) };
  const resultOf = defineLockedResult(m);
  const locked = (size: Size) =>
    defineLocked(m, size, resultOf, {
      ...imports,
      fillForWrite: (f, cpu, va) => f.call(fill, 'i32', cpu, va, userBit(f, cpu).or(ACCESS.write)),
      probeWrite,
      load: loads[size],
      store: stores[size],
      noteCodeWrite: (f, cpu, bytes) => noteCodeWrite(f, cpu, bytes, region, imports),
    });
  return {
    ...flushes,
    translate,
    fetch,
    load: loads,
    store: stores,
    locked: { 1: locked(1), 2: locked(2), 4: locked(4), 8: locked(8) },
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
export function area(cpu: I32): I32 {
  return cpu.mul(AREA_PER_BLOCK_BYTE).add(VCPU_AREA);
}

/**
 * (cpu, va: i64, access) -> like Mmu.translate, by a walk that also fills the TLB. A write leaves the entry writable
 * unless the page is read-only or holds decoded code; CPU.scratch is the gpa.
 */
function defineFill(m: ModuleBuilder, regionOf: Callable, walk: Callable): Callable {
  return m.func(['i32', 'i64', 'i32'], ['i32'], (f, cpu, va, access) => {
    const base = f.let(area(cpu));
    const tlb = f.let(base.add(access.and(ACCESS.user).ne(0).mul(AREA.tlbUser)));
    const entry = f.let(tlbEntry(va, tlb));
    f.if(access.and(ACCESS.fetch).eqz(), () => takeBack(f, { cpu, va, access, entry, regionOf }));
    const missed = f.load64(cpu, CPU.tlbMisses).asF64().add(F64.const(1)).bits();
    f.if(access.and(ACCESS.fetch).eqz(), () => f.store64(cpu, CPU.tlbMisses, missed));
    const gpa = f.let(f.call(walk, 'i64', cpu, va, access));
    f.if(gpa.eq(-1), () => f.return(I32.const(-1)));
    f.store64(cpu, CPU.scratch, gpa);
    const region = f.let(f.call(regionOf, 'i32', gpa));
    f.if(region.eqz(), () => f.return(I32.const(0)));
    const host = f.let(regionHost(f, region, gpa));
    const writing = f.let(access.and(ACCESS.write));
    f.if(writing, () => {
      f.if(isWritable(f, region, gpa).eqz(), () => f.return(I32.const(0)));
      noteDirty(f, region, gpa);
    });
    f.if(access.and(ACCESS.fetch), () => f.return(host)); // code has caches of its own

    const page = f.let(va.and(-4096));
    const isNew = f.let(page.ne(f.load64(entry, TLB_ENTRY.read)));
    f.if(isNew, () => copyEntry(f, f.let(entry.add(AREA.replaced)), entry));
    f.store64(entry, TLB_ENTRY.read, page);
    f.store32(entry, TLB_ENTRY.host, host.sub(va.wrap()));
    f.store32(entry, TLB_ENTRY.page, gpa.shrU(12).wrap());
    const code = codeMapEntry(f, region, gpa);
    f.if(
      writing.and(f.load64(code).eqz().shl(1)),
      () => allowWrites(f, entry, page, code),
      () => forbidWrites(f, entry, page),
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

/**
 * Returns from the filler if the entry allows the access (the slow ways of wide accesses come several times), or the one
 * that it replaced, which changes places with it then. Another vCPU that decodes code may just have looked for an entry
 * where it was not yet, so writes are looked at anew.
 */
function takeBack(
  f: FunctionBuilder,
  { cpu, va, access, entry, regionOf }: { cpu: I32; va: I64; access: I32; entry: I32; regionOf: Callable },
): void {
  const tag = f.let(
    access
      .and(ACCESS.write)
      .ne(0)
      .mul(TLB_ENTRY.write - TLB_ENTRY.read),
  );
  const allows = (at: I32) => va.xor(f.load64(at.add(tag), TLB_ENTRY.read)).ltU(4096);
  const gpa = () => f.load32(entry, TLB_ENTRY.page).toI64().shl(12).or(va.and(4095));
  const give = () => {
    f.store64(cpu, CPU.scratch, gpa());
    f.return(va.wrap().add(f.load32(entry, TLB_ENTRY.host)));
  };
  f.if(allows(entry), give);
  const old = f.let(entry.add(AREA.replaced));
  f.if(allows(old), () => {
    const [tags, place] = [f.let(f.load128(old)), f.let(f.load64(old, TLB_ENTRY.host))];
    copyEntry(f, old, entry);
    const page = f.let(va.and(-4096));
    f.store64(entry, TLB_ENTRY.read, page);
    f.store64(entry, TLB_ENTRY.host, place);
    forbidWrites(f, entry, page);
    f.if(tags.extractI64(1).eq(page), () => {
      const at = f.let(gpa());
      const region = f.let(f.call(regionOf, 'i32', at));
      // A page of a window may have gone meanwhile.
      f.if(region, () => {
        const code = codeMapEntry(f, region, at);
        f.if(f.load64(code).eqz(), () => allowWrites(f, entry, page, code));
      });
    });
    give();
  });
}

function copyEntry(f: FunctionBuilder, to: I32, from: I32): void {
  f.store128(to, 0, f.load128(from));
  f.store64(to, TLB_ENTRY.host, f.load64(from, TLB_ENTRY.host));
}

/**
 * Another vCPU that decodes code of the page sets the code map first, then looks for our entry: one of us sees what the
 * other did. (A store that is under way between its look at the tag and its write is seen by nobody.)
 */
function allowWrites(f: FunctionBuilder, entry: I32, page: I64, code: I32): void {
  f.store64(entry, TLB_ENTRY.write, page);
  atomicFence(f);
  f.if(f.load64(code).ne(0), () => forbidWrites(f, entry, page));
}

/** A page whose index differs from this entry's can never match an address that maps here. */
function forbidWrites(f: FunctionBuilder, entry: I32, page: I64): void {
  f.store64(entry, TLB_ENTRY.write, page.xor(0x1000));
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

/** Address of the code map entry of the page of `gpa`. */
function codeMapEntry(f: FunctionBuilder, region: I32, gpa: I64): I32 {
  return f.let(pageIn(f, region, gpa).shl(3).add(f.load32(region, REGION.codeMap)));
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

function defineFetch(m: ModuleBuilder, fill: Callable): Callable {
  return m.func(
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

/**
 * va + offset, which wraps at 4 GiB where addresses have 32 bits. The tables that the CPU itself reads may lie above in
 * compatibility mode.
 */
export function following(f: FunctionBuilder, cpu: I32, va: I64, offset: I64Like): I64 {
  const bits = select(va.leU(0xffff_ffff), f.load64(cpu, CPU.ripMask), I64.const(-1));
  return va.add(offset).and(bits);
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
            f.set(result, result.or(f.call(load1, 'i64', cpu, following(f, cpu, va, i)).shl(i.shl(3))));
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
            f.run(bytewise.store1, cpu, following(f, cpu, va, i), value.shrU(i.shl(3)));
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
      noteCodeWrite(f, cpu, I32.const(size), regionOf, imports);
    },
    `store${size}`,
  );
}

/** If decoded code was made from the 64-byte pieces that were written, says so. CPU.scratch is the gpa. */
function noteCodeWrite(f: FunctionBuilder, cpu: I32, size: I32, regionOf: Callable, imports: MmuImports): void {
  const gpa = f.let(f.load64(cpu, CPU.scratch));
  const region = f.let(f.call(regionOf, 'i32', gpa));
  atomicFence(f); // a vCPU that decodes sets the map, then reads the bytes
  const piece = (map: I64, at: I64) => map.shrU(at.shrU(6).and(63));
  // A page of a window may have gone meanwhile, and code that was decoded from it goes as well.
  f.if(region, () => {
    const map = f.let(f.load64(codeMapEntry(f, region, gpa)));
    f.if(
      piece(map, gpa)
        .or(piece(map, gpa.add(size.toI64()).sub(1)))
        .wrap()
        .and(1),
      () => f.run(imports.codeWritten, cpu, size),
    );
  });
}

function defineProbeWrite(m: ModuleBuilder, fill: Callable): Callable {
  return m.func(
    ['i32', 'i64', 'i32'],
    [],
    (f, cpu, va, size) => {
      const access = f.let(userBit(f, cpu).or(ACCESS.write));
      f.drop(f.call(fill, 'i32', cpu, va, access));
      f.if(f.load32(cpu, CPU.fault), () => f.return());
      const second = f.let(following(f, cpu, va, size.toI64().sub(1)).and(-4096));
      f.if(second.ne(va.and(-4096)), () => f.drop(f.call(fill, 'i32', cpu, second, access)));
    },
    'probeWrite',
  );
}

export const MMU_IMPORT_PARAMS: readonly ValType[] = ['i32', 'i32'];
