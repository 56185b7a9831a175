/**
 * Generates the core module: the MMU and the interpreter loop with the hot micro-operations inside. The loop has a few
 * hundred small cases on purpose: an optimizing compiler's time and memory grow faster than the size of one function,
 * and everything cold is a call away.
 */

import { defineSettleFlags } from '../jit/kept-flags.ts';
import { area, defineMmu, MMU_IMPORT_PARAMS, type MmuImports } from '../mmu/mmu.ts';
import { defineRareFunctions } from '../semantics/float-rare.ts';
import { CPU, SLOT } from '../state.ts';
import { I32, select } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Label, Local } from '../wasm/function-builder.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { catalog } from './catalog.ts';
import { COMPILED, defineChain } from './chain.ts';
import { defineCodeSum } from './code-sum.ts';
import { defineDeliver } from './deliver.ts';
import { type CoreImports, importHost } from './imports.ts';
import { type Exits, InterpreterEmit, type InterpreterParts, type LoopLabels } from './interpreter-emit.ts';
import { defineLookup, isJumpKnown, jumpEntry } from './lookup.ts';
import { RECORD, RECORD_SIZE, UNRESOLVED } from './record.ts';

/** What TypeScript must give the module, by import name. */
export type CoreHost = Record<keyof CoreImports | keyof MmuImports, CallableFunction>;

/** Places in the table of what the loop calls: cold micro-operations, then compiled regions. */
export const MAX_COLD = 8192;
export const MAX_REGIONS = 32768;

/** The micro-operation in the header of a block that is interpreted: the loop's case behind the hot ones. */
export const headerOp = (): number => catalog().hotNames.length;

let theCore: WebAssembly.Module | undefined;

/** The core module, compiled once per thread. Other threads of the process can use the same. */
export function compileCore(): WebAssembly.Module {
  theCore ??= new WebAssembly.Module(coreModule());
  return theCore;
}

/** The module with the MMU and the loop. */
export function coreModule(): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder('interpreter');
  const two = (name: string) => m.importFunction(name, MMU_IMPORT_PARAMS, []);
  const mmuImports = { mmioRead: two('mmioRead'), mmioWrite: two('mmioWrite'), codeWritten: two('codeWritten') };
  const imports = importHost(m);
  const mmu = defineMmu(m, mmuImports);
  const lookup = defineLookup(m, mmu.fetch, defineCodeSum(m));
  defineDeliver(m, mmu);
  const rareFloat = defineRareFunctions(m);
  const settleFlags = defineSettleFlags(m, 'settleFlags');
  m.exportTable('handlers', MAX_COLD + MAX_REGIONS);
  const handlerType = m.type({ params: ['i32', 'i32'], results: ['i32'] });
  const { ops, hotNames } = catalog();
  const hot = hotNames.map((name) => ops.all.get(name)!.emit);
  // Behind the hot ones: the header, the cold ones, compiled regions.
  const firstRegion = hot.length + 1 + MAX_COLD;
  const chain = defineChain(m, { type: handlerType, firstOp: firstRegion, firstPlace: MAX_COLD, settleFlags });
  const parts = { mmu, imports, rareFloat, lookup, chain, firstRegion, handlerType, hot };
  m.func(['i32', 'i32'], ['i32'], (f, cpu, rec) => emitLoop(f, cpu, rec, parts), 'run');
  return m.encode();
}

interface LoopParts extends InterpreterParts {
  /** Of lookup.ts. */
  readonly lookup: Callable;
  /** Of chain.ts, for micro-operations from `firstRegion` on. */
  readonly chain: Callable;
  readonly firstRegion: number;
  readonly handlerType: number;
  readonly hot: readonly ((emit: InterpreterEmit) => void)[];
}

/** (cpu, record) -> 0 at a block end when the budget is used up or attention is asked for; -1 when TypeScript said so. */
function emitLoop(f: FunctionBuilder, cpu: Local<'i32'>, rec: Local<'i32'>, parts: LoopParts): void {
  const { imports } = parts;
  const target = f.local('i64');
  const setTargetToRip = () => f.set(target, f.load64(cpu, CPU.rip).add(f.load64(cpu, CPU.csBase)));
  const mustLookUp = () => f.load32(cpu, CPU.budget).or(f.load32(cpu, CPU.attention)).ltS(0);
  f.loop((next) => {
    f.block((boundary) => {
      f.block((lookup) => {
        f.block((arrive) => {
          f.block((jump) => {
            f.block((fault) => {
              emitCases(f, cpu, rec, target, parts, { next, fault, jump, arrive });
            });
            f.if(f.call(imports.deliverFault, 'i32', cpu, rec).ltS(0), () => f.return(I32.const(-1)));
            setTargetToRip();
            f.br(arrive);
          });
          // A direct branch is taken.
          f.store32(cpu, CPU.budget, f.load32(cpu, CPU.budget).sub(f.load16u(rec, RECORD.count)));
          f.set(target, f.load64(cpu, SLOT.page).add(f.load32s64(rec, RECORD.imm)));
          f.brIf(boundary, mustLookUp());
          const link = f.variable(f.load32(rec, RECORD.link));
          f.if(link.gtU(UNRESOLVED), () => {
            f.set(rec, link);
            f.br(next);
          });
          f.brIf(lookup, link.ne(UNRESOLVED));
          f.set(link, f.call(imports.link, 'i32', cpu, rec));
          f.if(link.gtS(0), () => {
            f.set(rec, link);
            f.br(next);
          });
          f.if(link, () => f.return(I32.const(-1)));
          setTargetToRip();
        });
        f.brIf(boundary, mustLookUp());
      });
      emitLookup(f, cpu, rec, target, next, parts, () => {
        setTargetToRip();
        f.brIf(boundary, mustLookUp());
      });
    });
    f.store64(cpu, CPU.rip, target.sub(f.load64(cpu, CPU.csBase)).and(f.load64(cpu, CPU.ripMask)));
    f.return(I32.const(0));
  });
  f.unreachable();
}

function emitCases(
  f: FunctionBuilder,
  cpu: Local<'i32'>,
  rec: Local<'i32'>,
  target: Local<'i64'>,
  parts: LoopParts,
  labels: LoopLabels,
): void {
  const onStatus = (status: I32) => {
    const s = f.let(status);
    f.if(s.gtS(0), () => {
      f.set(rec, s);
      f.br(labels.next);
    });
    f.if(s, () => f.return(s));
    f.set(target, f.load64(cpu, CPU.rip).add(f.load64(cpu, CPU.csBase)));
    f.br(labels.arrive);
  };
  const exits: Exits = {
    next: (record) => {
      f.set(rec, record);
      f.br(labels.next);
    },
    fault: () => f.br(labels.fault),
    jump: () => f.br(labels.jump),
    arrive: (linear) => {
      f.set(target, linear);
      f.br(labels.arrive);
    },
    status: onStatus,
  };
  const emit = new InterpreterEmit(f, cpu, rec, parts, exits);
  const op = f.load16u(rec, RECORD.op);
  const cases = parts.hot.map((handler) => () => {
    handler(emit);
    exits.next(rec.add(RECORD_SIZE));
  });
  cases.push(() => emitHeader(f, cpu, rec, parts.imports, exits));
  f.switch(op, cases, () => {
    f.if(op.geU(parts.firstRegion), () => onStatus(f.call(parts.chain, 'i32', cpu, rec)));
    onStatus(f.callIndirect(parts.handlerType, 'i32', op.sub(cases.length), cpu, rec));
  });
  f.unreachable();
}

/**
 * The header of a block counts its executions down, and asks for a compiled form. With each epoch that has passed since
 * the last one, half of the executions are forgotten.
 */
function emitHeader(
  f: FunctionBuilder,
  cpu: Local<'i32'>,
  rec: Local<'i32'>,
  imports: CoreImports,
  exits: Exits,
): void {
  const left = f.variable(f.load32(rec, RECORD.imm));
  const passed = f.let(f.load32(cpu, CPU.jitEpoch).sub(f.load32(rec, RECORD.epoch)));
  f.if(passed, () => {
    const full = f.let(f.load32(rec, RECORD.full));
    f.set(left, full.sub(full.sub(left).shrS(select(passed.ltU(31), passed, I32.const(31)))));
    f.store32(rec, RECORD.epoch, f.load32(cpu, CPU.jitEpoch));
  });
  f.set(left, left.sub(1));
  f.store32(rec, RECORD.imm, left);
  f.if(left.ltS(0), () => exits.next(f.call(imports.hot, 'i32', cpu, rec)));
  exits.next(rec.add(RECORD_SIZE));
}

/**
 * Finds the record for the linear address `target`: in the jump cache, by its physical address, else by TypeScript.
 * `goOnAtRip` is emitted where that is CPU.rip now: behind a compiled region, and where a fault of the fetch was delivered:
 * its handler is looked for next, which may fault too, without an end.
 */
function emitLookup(
  f: FunctionBuilder,
  cpu: Local<'i32'>,
  rec: Local<'i32'>,
  target: Local<'i64'>,
  next: Label,
  { lookup, chain, imports }: LoopParts,
  goOnAtRip: () => void,
): void {
  f.loop((again) => {
    f.set(target, target.and(f.load64(cpu, CPU.ripMask)));
    const entry = f.let(jumpEntry(target, area(cpu)));
    f.if(isJumpKnown(f, cpu, entry, target), () => {
      f.set(rec, f.load32(entry, 12));
      f.store64(cpu, SLOT.page, target.and(-4096));
      f.brIf(next, rec.ltU(COMPILED));
      f.set(rec, f.call(chain, 'i32', cpu, rec));
      f.brIf(next, rec.gtS(0));
      f.if(rec, () => f.return(rec));
      goOnAtRip();
      f.br(again);
    });
    f.store64(cpu, CPU.rip, target.sub(f.load64(cpu, CPU.csBase)).and(f.load64(cpu, CPU.ripMask)));
    f.set(rec, f.call(lookup, 'i32', cpu));
    f.brIf(next, rec);
    f.set(rec, f.call(imports.lookup, 'i32', cpu));
    f.brIf(next, rec.gtS(0));
    f.if(rec, () => f.return(I32.const(-1)));
    goOnAtRip();
    f.br(again);
  });
}
