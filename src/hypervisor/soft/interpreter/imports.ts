/** What modules beside the core module import: from TypeScript, and from the core module. */
import type { Mmu } from '../mmu/mmu.ts';
import type { HostCalls } from '../semantics/emit.ts';
import type { Size } from '../semantics/flags.ts';
import { CPU } from '../state.ts';
import { I32 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';

/** Functions of TypeScript that semantics call: see HostCalls. */
export interface HostImports {
  readonly portRead: Callable;
  readonly portWrite: Callable;
  readonly timeStamp: Callable;
}

/** Functions of TypeScript that the core module imports. */
export interface CoreImports extends HostImports {
  /** (cpu, record): delivers CPU.fault to the guest. Gives 0, or -1 if the loop must be left. */
  readonly deliverFault: Callable;
  /** (cpu, record): executes the instruction. Gives 1 to go on behind it, 0 to go on at CPU.rip, -1 to leave. */
  readonly callout: Callable;
  /** (cpu, op, a, b, imm): see Emit.exact. Sets CPU.fault on failure. */
  readonly exact: Callable;
  /** (cpu): the record for CPU.rip; 0 if a fault was delivered instead; -1 to leave the loop. */
  readonly lookup: Callable;
  /** (cpu, record): as lookup, for the instruction of a record whose code was overwritten. */
  readonly lookUpAgain: Callable;
  /** (cpu, record): the target's record of a direct branch that is UNRESOLVED, or as lookup. CPU.rip is set. */
  readonly link: Callable;
  /** (cpu, header): the block's header has counted down. Gives the record to go on with. */
  readonly hot: Callable;
}

/** The functions of TypeScript. */
export function importHost(m: ModuleBuilder): CoreImports {
  return {
    deliverFault: m.importFunction('deliverFault', ['i32', 'i32'], ['i32']),
    callout: m.importFunction('callout', ['i32', 'i32'], ['i32']),
    exact: m.importFunction('exact', ['i32', 'i32', 'i32', 'i32', 'i32'], []),
    lookup: m.importFunction('lookup', ['i32'], ['i32']),
    lookUpAgain: m.importFunction('lookUpAgain', ['i32', 'i32'], ['i32']),
    hot: m.importFunction('hot', ['i32', 'i32'], ['i32']),
    link: m.importFunction('link', ['i32', 'i32'], ['i32']),
    portRead: m.importFunction('portRead', ['i32', 'i32', 'i32'], []),
    portWrite: m.importFunction('portWrite', ['i32', 'i32', 'i32'], []),
    timeStamp: m.importFunction('timeStamp', ['i32'], []),
  };
}

/** The MMU's functions in the core module. */
export function importMmu(m: ModuleBuilder): Mmu {
  const load = (size: Size) => m.importFunction(`load${size}`, ['i32', 'i64'], ['i64']);
  const store = (size: Size) => m.importFunction(`store${size}`, ['i32', 'i64', 'i64'], []);
  const locked = (size: Size) => m.importFunction(`locked${size}`, ['i32', 'i64', 'i32', 'i64', 'i64'], ['i64']);
  return {
    translate: m.importFunction('translate', ['i32', 'i64', 'i32'], ['i32']),
    load: { 1: load(1), 2: load(2), 4: load(4), 8: load(8) },
    store: { 1: store(1), 2: store(2), 4: store(4), 8: store(8) },
    locked: { 1: locked(1), 2: locked(2), 4: locked(4), 8: locked(8) },
    probeWrite: m.importFunction('probeWrite', ['i32', 'i64', 'i32'], []),
    flushNonGlobal: m.importFunction('flushNonGlobal', ['i32'], ['i32']),
    invalidatePage: m.importFunction('invalidatePage', ['i32', 'i64'], ['i32']),
  };
}

/** Emits calls of what was imported. */
export function hostCalls(f: FunctionBuilder, cpu: I32, imports: HostImports, mmu: Mmu): HostCalls {
  return {
    portRead: (port, size) => f.run(imports.portRead, cpu, port, I32.const(size)),
    portWrite: (port, size) => f.run(imports.portWrite, cpu, port, I32.const(size)),
    timeStamp: () => {
      f.run(imports.timeStamp, cpu);
      return f.load64(cpu, CPU.io);
    },
    flushNonGlobal: () => f.call(mmu.flushNonGlobal, 'i32', cpu),
    invalidatePage: (linear) => f.call(mmu.invalidatePage, 'i32', cpu, linear),
  };
}
