/**
 * A module of compiled regions, each a function of it. It does not depend on where its regions, their records and jump
 * cells are: that it is told when it is instantiated (RegionPlaces), so that other VMs can use it.
 */

import { BLOCK_BITS } from '../interpreter/chain.ts';
import { importHost, importMmu } from '../interpreter/imports.ts';
import { importRareFunctions } from '../semantics/float-rare.ts';
import type { I32 } from '../wasm/expr.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import type { JitImports } from './jit-emit.ts';
import { ModuleCells, type OwnTarget } from './jump-cells.ts';
import type { Member } from './region.ts';
import { compileRegion, type RecordSource, type RegionContext } from './region-compiler.ts';

/** What a module is told. */
export interface RegionPlaces extends Record<string, number> {
  /** compiledAt() of the first block of its first region: the places of the others follow. */
  readonly firstBlock: number;
  /** Address of its first jump cell. */
  readonly firstCell: number;
}

export class RegionModule {
  readonly #module = new ModuleBuilder('jit');
  readonly #source: RecordSource;
  readonly #cpu: number;
  readonly #firstBlock: I32;
  readonly #cells: ModuleCells;
  readonly #imports: JitImports;
  #regions = 0;

  /** `cpu`: address of the vCPU's block. */
  constructor(source: RecordSource, cpu: number) {
    const m = this.#module;
    this.#source = source;
    this.#cpu = cpu;
    this.#firstBlock = m.importConstant('firstBlock');
    this.#cells = new ModuleCells(cpu, m.importConstant('firstCell'));
    const settleFlags = m.importFunction('settleFlags', ['i32'], []);
    this.#imports = { ...importHost(m), mmu: importMmu(m), settleFlags, rareFloat: importRareFunctions(m) };
  }

  /** The name under which the module exports its region `i`. */
  static nameOf(i: number): string {
    return `r${i}`;
  }

  /** How many jump cells it needs. */
  get cells(): number {
    return this.#cells.count;
  }

  /** The cells whose places were compiled together with their targets. */
  get ownTargets(): readonly OwnTarget[] {
    return this.#cells.ownTargets;
  }

  /** Compiles blocks to the next region. */
  add(members: readonly Member[], is64: boolean): void {
    const context: RegionContext = {
      source: this.#source,
      imports: this.#imports,
      cpu: this.#cpu,
      cells: this.#cells,
      is64,
      firstBlock: this.#firstBlock.add(this.#regions << BLOCK_BITS),
    };
    this.#cells.region = this.#regions;
    const name = RegionModule.nameOf(this.#regions++);
    this.#module.func(['i32', 'i32'], ['i32'], (f, _cpu, start) => compileRegion(f, start, members, context), name);
  }

  encode(): Uint8Array<ArrayBuffer> {
    return this.#module.encode();
  }
}
