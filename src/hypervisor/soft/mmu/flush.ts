/** TranslationCache's flushes of CR3 loads and INVLPG, in WebAssembly. A large page among them is left to TypeScript. */
import { CR4 } from '../architecture.ts';
import {
  AREA,
  CODE_PAGE_ENTRIES,
  CODE_PAGE_ENTRY_SIZE,
  FILL_LOG_ENTRIES,
  LARGE_MAP_SIZE,
  TLB_ENTRIES,
  TLB_ENTRY,
  TLB_ENTRY_SIZE,
} from '../layout.ts';
import { JUMP_TAG_GENERATION } from '../modes.ts';
import { CPU } from '../state.ts';
import { I32, type I64 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';
import { area, tlbEntry } from './mmu.ts';

export interface Flushes {
  /** (cpu) -> 1 if what is not global has been dropped, 0 if TypeScript has to flush everything. */
  readonly flushNonGlobal: Callable;
  /** (cpu, va: i64) -> 1 if the page has been dropped, 0 if TypeScript has to flush everything. */
  readonly invalidatePage: Callable;
}

export function defineFlushes(m: ModuleBuilder): Flushes {
  const flushNonGlobal = m.func(
    ['i32'],
    ['i32'],
    (f, cpu) => {
      const base = f.let(area(cpu));
      const count = f.let(f.load32(base, AREA.fillLog));
      f.if(count.gtU(FILL_LOG_ENTRIES), () => f.return(I32.const(0)));
      const at = f.variable(base.add(AREA.fillLog + 4));
      const end = f.let(at.add(count.shl(2)));
      const entry = f.local('i32');
      f.loop((again) =>
        f.if(at.ltU(end), () => {
          f.set(entry, f.load32(at));
          dropEntry(f, entry, base);
          f.set(at, at.add(4));
          f.br(again);
        }),
      );
      f.store32(base, AREA.fillLog, 0);
      nextGeneration(f, cpu, base, CPU.jumpTagLow);
      f.if(f.load64(cpu, CPU.cr4).wrap().and(CR4.pge).eqz(), () => nextGeneration(f, cpu, base, CPU.jumpTagHigh));
      f.return(I32.const(1));
    },
    'flushNonGlobal',
  );
  const invalidatePage = m.func(
    ['i32', 'i64'],
    ['i32'],
    (f, cpu, va) => {
      const base = f.let(area(cpu));
      const large = base.add(
        va
          .shrU(21)
          .wrap()
          .and(LARGE_MAP_SIZE - 1),
      );
      f.if(f.load8u(large, AREA.largeMap), () => f.return(I32.const(0)));
      for (const tlb of [AREA.tlbSupervisor, AREA.tlbUser]) dropEntry(f, f.let(entryOf(va, base, tlb)), base);
      // Code of the other half cannot have come from this page.
      f.if(
        va.ltS(0),
        () => nextGeneration(f, cpu, base, CPU.jumpTagHigh),
        () => nextGeneration(f, cpu, base, CPU.jumpTagLow),
      );
      f.return(I32.const(1));
    },
    'invalidatePage',
  );
  return { flushNonGlobal, invalidatePage };
}

function entryOf(va: I64, base: I32, tlb: number): I32 {
  return tlbEntry(va, base.add(tlb));
}

/** The tags of an entry, and of the one that it replaced, become pages whose index is another one's, so no address can match them. */
function dropEntry(f: FunctionBuilder, entry: I32, base: I32): void {
  const index = entry
    .sub(base)
    .divU(TLB_ENTRY_SIZE)
    .and(TLB_ENTRIES - 1);
  const never = f.let(index.xor(1).shl(12).toI64());
  for (const at of [entry, f.let(entry.add(AREA.replaced))]) {
    f.store64(at, TLB_ENTRY.read, never);
    f.store64(at, TLB_ENTRY.write, never);
    f.store32(at, TLB_ENTRY.page, -1);
  }
}

/** Makes the entries of one half in the jump cache and among the code pages invalid. */
function nextGeneration(f: FunctionBuilder, cpu: I32, base: I32, field: number): void {
  const tag = f.let(f.load32(cpu, field));
  const next = f.let(tag.add(JUMP_TAG_GENERATION.one).and(JUMP_TAG_GENERATION.mask));
  f.if(next.eqz(), () => {
    f.memoryFill(base.add(AREA.jumpCache), I32.const(0), I32.const(AREA.fillLog - AREA.jumpCache));
    f.memoryFill(base.add(AREA.codePages), I32.const(0), I32.const(CODE_PAGE_ENTRIES * CODE_PAGE_ENTRY_SIZE));
  });
  f.store32(cpu, field, tag.and(~JUMP_TAG_GENERATION.mask).or(next));
}
