/** A module of compiled regions, each a function of it. */
import { importHost, importMmu } from '../interpreter/imports.ts';
import { importRareFunctions } from '../semantics/float-rare.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import type { JitImports } from './jit-emit.ts';
import type { JumpCells } from './jump-cells.ts';
import type { Member } from './region.ts';
import { compileRegion, type RecordSource, type RegionContext } from './region-compiler.ts';

export class RegionModule {
  readonly #module = new ModuleBuilder('jit');
  readonly #source: RecordSource;
  readonly #cpu: number;
  readonly #cells: JumpCells;
  readonly #imports: JitImports;
  #regions = 0;

  /** `cpu`: address of the vCPU's block. */
  constructor(source: RecordSource, cpu: number, cells: JumpCells) {
    const m = this.#module;
    this.#source = source;
    this.#cpu = cpu;
    this.#cells = cells;
    const settleFlags = m.importFunction('settleFlags', ['i32'], []);
    this.#imports = { ...importHost(m), mmu: importMmu(m), settleFlags, rareFloat: importRareFunctions(m) };
  }

  /** The name under which the module exports its region `i`. */
  static nameOf(i: number): string {
    return `r${i}`;
  }

  /** Compiles blocks to the next region, which is to stand at `place` of the table. */
  add(members: readonly Member[], is64: boolean, place: number): void {
    const context: RegionContext = {
      source: this.#source,
      imports: this.#imports,
      cpu: this.#cpu,
      cells: this.#cells,
      is64,
      place,
    };
    const name = RegionModule.nameOf(this.#regions++);
    this.#module.func(['i32', 'i32'], ['i32'], (f, _cpu, start) => compileRegion(f, start, members, context), name);
  }

  encode(): Uint8Array<ArrayBuffer> {
    return this.#module.encode();
  }
}
