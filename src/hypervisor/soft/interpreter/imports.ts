/** What modules beside the core module import: from TypeScript, and from the core module. */
import type { Mmu } from '../mmu/mmu.ts';
import type { Size } from '../semantics/flags.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';
import type { CoreImports } from './interpreter-emit.ts';

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
