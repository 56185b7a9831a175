/** All micro-operations: made once, when the first vCPU of a thread is. */
import { defineAll } from '../semantics/all.ts';
import { MicroOps } from '../semantics/emit.ts';

/** The micro-operations by name; the hot ones are numbered by the loop's cases, in this order. */
export interface Catalog {
  readonly ops: MicroOps;
  readonly hotNames: readonly string[];
}

let theCatalog: Catalog | undefined;

export function catalog(): Catalog {
  if (theCatalog === undefined) {
    const ops = new MicroOps();
    defineAll(ops);
    theCatalog = { ops, hotNames: [...ops.all].filter(([, op]) => op.hot).map(([name]) => name) };
  }
  return theCatalog;
}

/** Whether semantics/all.ts has a micro-operation of this name. */
export function hasMicroOp(name: string): boolean {
  return catalog().ops.all.has(name);
}
