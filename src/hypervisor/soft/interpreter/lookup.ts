/**
 * From RIP to the record of its decoded code, without TypeScript: the code page of the linear address, then the block by
 * its guest physical address. A load of CR3 empties the jump cache, and this fills it again.
 */
import { CR4 } from '../architecture.ts';
import {
  AREA,
  BLOCK_ENTRY,
  BLOCK_ENTRY_SIZE,
  BLOCK_HASH,
  BLOCK_HASH_SHIFT,
  CODE_PAGE_ENTRIES,
  CODE_PAGE_ENTRY,
  CODE_PAGE_ENTRY_SIZE,
  EXTERNAL_WRITERS,
  JUMP_ENTRIES,
  JUMP_ENTRY_SIZE,
} from '../layout.ts';
import { area } from '../mmu/mmu.ts';
import { PTE } from '../mmu/walk.ts';
import { MODE_BITS } from '../modes.ts';
import { CPU, SLOT } from '../state.ts';
import { I32, type I64 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';
import { isCodeCurrent } from './code-sum.ts';

/** Address of the jump cache's entry for `linear` in the vCPU area at `base`. */
export function jumpEntry(linear: I64, base: I32): I32 {
  const hash = linear
    .shrU(12)
    .xor(linear)
    .wrap()
    .and(JUMP_ENTRIES - 1);
  return hash.mul(JUMP_ENTRY_SIZE).add(base).add(AREA.jumpCache);
}

/** The tag that entries for `linear` carry in the jump cache while they are valid. */
export function jumpTag(f: FunctionBuilder, cpu: I32, linear: I64): I32 {
  return f.load32(cpu.add(linear.shrU(63).wrap().shl(2)), CPU.jumpTagLow);
}

/** Whether the jump cache's `entry` says where the code of `linear` is. */
export function isJumpKnown(f: FunctionBuilder, cpu: I32, entry: I32, linear: I64): I32 {
  const wrongTag = f.load32(entry, 8).xor(jumpTag(f, cpu, linear));
  return f.load64(entry).xor(linear).or(wrongTag.toI64()).eqz();
}

/**
 * (cpu) -> the record for CPU.rip, entered into the jump cache and with SLOT.page set; 0 if TypeScript has to find or make
 * it, or to deliver a fault. `fetch` is the MMU's.
 */
export function defineLookup(m: ModuleBuilder, fetch: Callable, codeSum: Callable): Callable {
  const body = (f: FunctionBuilder, cpu: Local<'i32'>) => {
    const linear = f.let(f.load64(cpu, CPU.rip).add(f.load64(cpu, CPU.csBase)).and(f.load64(cpu, CPU.ripMask)));
    const base = f.let(area(cpu));
    const tag = f.let(jumpTag(f, cpu, linear));
    const codePage = codePageOf(f, fetch, codeSum, { cpu, base, linear, tag });
    const start = f.let(linear.wrap().and(0xfff));
    const key = f.let(start.shl(MODE_BITS).or(f.load32(cpu, CPU.mode)));
    const hash = codePage.shl(12).or(start).mul(BLOCK_HASH).shrU(BLOCK_HASH_SHIFT);
    const block = f.let(hash.mul(BLOCK_ENTRY_SIZE).add(base));
    const found = f
      .load32(block, AREA.blocks + BLOCK_ENTRY.page)
      .eq(codePage)
      .and(f.load32(block, AREA.blocks + BLOCK_ENTRY.key).eq(key));
    f.if(found.eqz(), () => f.return(I32.const(0)));
    const record = f.let(f.load32(block, AREA.blocks + BLOCK_ENTRY.record));
    f.if(record.eqz(), () => f.return(I32.const(0))); // it was there
    const jump = f.let(jumpEntry(linear, base));
    f.store64(jump, 0, linear);
    f.store32(jump, 8, tag);
    f.store32(jump, 12, record);
    f.store64(cpu, SLOT.page, linear.and(-4096));
    f.return(record);
  };
  return m.func(['i32'], ['i32'], body, 'findCode');
}

interface CodeAddress {
  readonly cpu: I32;
  /** The vCPU's area. */
  readonly base: I32;
  readonly linear: I64;
  readonly tag: I32;
}

/**
 * Guest physical page number of the code at `linear`: remembered, or by a walk. Returns 0 from the function if it has
 * none, or if code of it has changed.
 */
function codePageOf(
  f: FunctionBuilder,
  fetch: Callable,
  codeSum: Callable,
  { cpu, base, linear, tag }: CodeAddress,
): Local<'i32'> {
  const page = f.let(linear.and(-4096));
  const index = linear
    .shrU(12)
    .wrap()
    .and(CODE_PAGE_ENTRIES - 1);
  const entry = f.let(index.mul(CODE_PAGE_ENTRY_SIZE).add(base).add(AREA.codePages));
  const codePage = f.local('i32');
  const known = f.load64(entry, CODE_PAGE_ENTRY.linear).eq(page).and(f.load32(entry, CODE_PAGE_ENTRY.tag).eq(tag));
  f.if(
    known,
    () => f.set(codePage, f.load32(entry, CODE_PAGE_ENTRY.page)),
    () => {
      const host = f.let(f.call(fetch, 'i32', cpu));
      f.if(host.eq(-1), () => f.store32(cpu, CPU.fault, 0)); // TypeScript meets it again, and delivers it
      f.if(host.eq(-1).or(host.eqz()), () => f.return(I32.const(0)));
      f.if(mayRemember(f, cpu, linear).eqz(), () => f.return(I32.const(0)));
      f.set(codePage, f.load64(cpu, CPU.scratch).shrU(12).wrap());
      f.if(f.load32(I32.const(EXTERNAL_WRITERS)), () =>
        f.if(isCodeCurrent(f, codeSum, base, codePage, host.and(-4096)).eqz(), () => f.return(I32.const(0))),
      );
      f.store64(entry, CODE_PAGE_ENTRY.linear, page);
      f.store32(entry, CODE_PAGE_ENTRY.tag, tag);
      f.store32(entry, CODE_PAGE_ENTRY.page, codePage);
    },
  );
  return codePage;
}

/** TranslationCache.mayCacheJump: whether the page that was just fetched from may stay known until its tag goes. */
function mayRemember(f: FunctionBuilder, cpu: I32, linear: I64): I32 {
  const isGlobal = f
    .load32(cpu, CPU.scratch + 8)
    .and(PTE.global)
    .ne(0);
  const noGlobalPages = f.load64(cpu, CPU.cr4).wrap().and(CR4.pge).eqz();
  return linear.geS(0).or(isGlobal).or(noGlobalPages);
}
