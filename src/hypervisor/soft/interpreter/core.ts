/**
 * Generates the core module: the MMU and the interpreter loop with the hot micro-operations inside. The loop has a few
 * hundred small cases on purpose: an optimizing compiler's time and memory grow faster than the size of one function,
 * and everything cold is a call away.
 */

import { area, defineMmu, MMU_IMPORT_PARAMS, type Mmu, type MmuImports } from '../mmu/mmu.ts';
import { defineAll } from '../semantics/all.ts';
import { MicroOps, type Semantics } from '../semantics/emit.ts';
import type { Size } from '../semantics/flags.ts';
import { CPU, SLOT } from '../state.ts';
import { I32, type I64 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Label, Local } from '../wasm/function-builder.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { type CoreImports, type Exits, InterpreterEmit, type LoopLabels } from './interpreter-emit.ts';
import { defineLookup, jumpEntry, jumpTag } from './lookup.ts';
import { RECORD, RECORD_SIZE, UNRESOLVED } from './record.ts';

/** What TypeScript must give the module, by import name. */
export type CoreHost = Record<keyof CoreImports | keyof MmuImports, CallableFunction>;

/** The micro-operations by name; the hot ones are numbered by the loop's cases, in this order. */
interface Catalog {
  readonly ops: MicroOps;
  readonly hotNames: readonly string[];
}

let theCatalog: Catalog | undefined;

function catalog(): Catalog {
  if (theCatalog === undefined) {
    const ops = new MicroOps();
    defineAll(ops);
    theCatalog = { ops, hotNames: [...ops.all].filter(([, op]) => op.hot).map(([name]) => name) };
  }
  return theCatalog;
}

/** Places in the table for cold micro-operations. */
export const MAX_COLD = 8192;

export function hasMicroOp(name: string): boolean {
  return catalog().ops.all.has(name);
}

/** Imports that both the core module and the modules of cold micro-operations have. */
function importHost(m: ModuleBuilder): CoreImports {
  return {
    deliverFault: m.importFunction('deliverFault', ['i32', 'i32'], ['i32']),
    callout: m.importFunction('callout', ['i32', 'i32'], ['i32']),
    exact: m.importFunction('exact', ['i32', 'i32', 'i32', 'i32', 'i32'], []),
    lookup: m.importFunction('lookup', ['i32'], ['i32']),
    lookUpAgain: m.importFunction('lookUpAgain', ['i32', 'i32'], ['i32']),
    link: m.importFunction('link', ['i32', 'i32'], ['i32']),
    portRead: m.importFunction('portRead', ['i32', 'i32', 'i32'], []),
    portWrite: m.importFunction('portWrite', ['i32', 'i32', 'i32'], []),
    timeStamp: m.importFunction('timeStamp', ['i32'], []),
  };
}

let theCore: WebAssembly.Module | undefined;

/** The core module, compiled once per thread. Other threads of the process can use the same. */
export function compileCore(): WebAssembly.Module {
  theCore ??= new WebAssembly.Module(coreModule());
  return theCore;
}

/** The module with the MMU and the loop. */
export function coreModule(): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder();
  const two = (name: string) => m.importFunction(name, MMU_IMPORT_PARAMS, []);
  const mmuImports = { mmioRead: two('mmioRead'), mmioWrite: two('mmioWrite'), codeWritten: two('codeWritten') };
  const imports = importHost(m);
  const mmu = defineMmu(m, mmuImports);
  const lookup = defineLookup(m, mmu.fetch);
  m.exportTable('handlers', MAX_COLD);
  const handlerType = m.type({ params: ['i32', 'i32'], results: ['i32'] });
  const { ops, hotNames } = catalog();
  const hot = hotNames.map((name) => ops.all.get(name)!.emit);
  m.func(
    ['i32', 'i32'],
    ['i32'],
    (f, cpu, rec) => emitLoop(f, cpu, rec, { mmu, imports, lookup, handlerType, hot }),
    'run',
  );
  return m.encode();
}

/**
 * The numbers that records of one vCPU have for micro-operations. A cold one is compiled when it is first asked for, as
 * a module with a single function: most programs use a small part of the instruction set.
 */
export class MicroOpTable {
  readonly #numbers = new Map(catalog().hotNames.map((name, number) => [name, number]));
  readonly #env: Record<string, WebAssembly.Memory | CallableFunction>;
  readonly #handlers: WebAssembly.Table;

  /** `host`: what the core module was given; `core`: what it exports. */
  constructor(
    memory: WebAssembly.Memory,
    host: CoreHost,
    core: Record<string, CallableFunction>,
    handlers: WebAssembly.Table,
  ) {
    this.#env = { memory, ...host, ...core };
    this.#handlers = handlers;
  }

  /** The number of a micro-operation of semantics/all.ts, or of the one that `semantics` gives this name. */
  number(name: string, semantics?: Semantics): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const emit = semantics ?? catalog().ops.all.get(name)?.emit;
    if (emit === undefined) throw new Error(`there is no micro-operation ${name}`);
    const number = this.#numbers.size;
    this.#numbers.set(name, number);
    const module = new WebAssembly.Module(coldModule(emit));
    const instance = new WebAssembly.Instance(module, { env: this.#env });
    this.#handlers.set(number - catalog().hotNames.length, instance.exports['handler']!);
    return number;
  }
}

/** The MMU's functions as imports of another module. */
function importMmu(m: ModuleBuilder): Mmu {
  const load = (size: Size) => m.importFunction(`load${size}`, ['i32', 'i64'], ['i64']);
  const store = (size: Size) => m.importFunction(`store${size}`, ['i32', 'i64', 'i64'], []);
  return {
    translate: m.importFunction('translate', ['i32', 'i64', 'i32'], ['i32']),
    load: { 1: load(1), 2: load(2), 4: load(4), 8: load(8) },
    store: { 1: store(1), 2: store(2), 4: store(4), 8: store(8) },
    probeWrite: m.importFunction('probeWrite', ['i32', 'i64', 'i32'], []),
    flushNonGlobal: m.importFunction('flushNonGlobal', ['i32'], ['i32']),
    invalidatePage: m.importFunction('invalidatePage', ['i32', 'i64'], ['i32']),
  };
}

function coldModule(semantics: Semantics): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder();
  const imports = importHost(m);
  const mmu = importMmu(m);
  const body = (f: FunctionBuilder, cpu: Local<'i32'>, rec: Local<'i32'>) => {
    const arrive = (linear: I64) => {
      f.store64(cpu, CPU.rip, linear.sub(f.load64(cpu, CPU.csBase)));
      f.return(I32.const(0));
    };
    const exits: Exits = {
      next: (record) => f.return(record),
      fault: () => f.return(f.call(imports.deliverFault, 'i32', cpu, rec)),
      jump: () => {
        emit.account();
        arrive(f.load64(cpu, SLOT.page).add(f.load32s64(rec, RECORD.imm)));
      },
      arrive,
      status: (status) => f.return(status),
    };
    const emit = new InterpreterEmit(f, cpu, rec, mmu, imports, exits);
    semantics(emit);
    f.return(rec.add(RECORD_SIZE));
  };
  m.func(['i32', 'i32'], ['i32'], body, 'handler');
  return m.encode();
}

interface LoopParts {
  readonly mmu: Mmu;
  readonly imports: CoreImports;
  /** Of lookup.ts. */
  readonly lookup: Callable;
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
          const link = f.let(f.load32(rec, RECORD.link));
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
  const emit = new InterpreterEmit(f, cpu, rec, parts.mmu, parts.imports, exits);
  const op = f.load16u(rec, RECORD.op);
  const cases = parts.hot.map((handler) => () => {
    handler(emit);
    exits.next(rec.add(RECORD_SIZE));
  });
  f.switch(op, cases, () => onStatus(f.callIndirect(parts.handlerType, 'i32', op.sub(parts.hot.length), cpu, rec)));
  f.unreachable();
}

/**
 * Finds the record for the linear address `target`: in the jump cache, by its physical address, else by TypeScript. `afterFault` is emitted where
 * a fault of the fetch was delivered: its handler is looked for next, which may fault too, without an end.
 */
function emitLookup(
  f: FunctionBuilder,
  cpu: Local<'i32'>,
  rec: Local<'i32'>,
  target: Local<'i64'>,
  next: Label,
  { lookup, imports }: LoopParts,
  afterFault: () => void,
): void {
  f.loop((again) => {
    f.set(target, target.and(f.load64(cpu, CPU.ripMask)));
    const entry = f.let(jumpEntry(target, area(cpu)));
    f.if(
      f
        .load64(entry)
        .eq(target)
        .and(f.load32(entry, 8).eq(jumpTag(f, cpu, target))),
      () => {
        f.set(rec, f.load32(entry, 12));
        f.store64(cpu, SLOT.page, target.and(-4096));
        f.br(next);
      },
    );
    f.store64(cpu, CPU.rip, target.sub(f.load64(cpu, CPU.csBase)).and(f.load64(cpu, CPU.ripMask)));
    f.set(rec, f.call(lookup, 'i32', cpu));
    f.brIf(next, rec);
    f.set(rec, f.call(imports.lookup, 'i32', cpu));
    f.brIf(next, rec.gtS(0));
    f.if(rec, () => f.return(I32.const(-1)));
    afterFault();
    f.br(again);
  });
}
