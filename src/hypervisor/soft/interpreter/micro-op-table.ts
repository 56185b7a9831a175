/** The micro-operations of one vCPU, by number: those in the loop, those that are called, and compiled regions. */
import type { Semantics } from '../semantics/emit.ts';
import { importRareFunctions } from '../semantics/float-rare.ts';
import { CPU, SLOT } from '../state.ts';
import { I32, type I64 } from '../wasm/expr.ts';
import type { FunctionBuilder, Local } from '../wasm/function-builder.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { catalog } from './catalog.ts';
import { type CoreHost, MAX_COLD, MAX_REGIONS } from './core.ts';
import { importHost, importMmu } from './imports.ts';
import { type Exits, InterpreterEmit } from './interpreter-emit.ts';
import { RECORD, RECORD_SIZE } from './record.ts';

/** Regions whose places lie side by side. */
export const REGION_GROUP = 32;

/**
 * The numbers that records of one vCPU have for micro-operations. A cold one is compiled when it is first asked for, as
 * a module with a single function: most programs use a small part of the instruction set.
 */
export class MicroOpTable {
  readonly #numbers: Map<string, number>;
  readonly #names: string[];
  readonly #semantics: Semantics[];
  readonly #env: Record<string, WebAssembly.Memory | CallableFunction>;
  readonly #handlers: WebAssembly.Table;
  readonly #firstCold: number;
  /** WebAssembly of cold ones, by name: making it takes a hundred times as long as a look here. */
  readonly #modules: Map<string, Uint8Array<ArrayBuffer>>;
  /** Places of regions that are free again, and where those start that were never used: REGION_GROUP at a time. */
  readonly #free: number[] = [];
  #unused = MAX_COLD;

  /** `host`: what the core module was given; `core`: what it exports; `modules`: those of another table. */
  constructor(
    memory: WebAssembly.Memory,
    host: CoreHost,
    core: Record<string, CallableFunction>,
    handlers: WebAssembly.Table,
    modules: ReadonlyMap<string, Uint8Array<ArrayBuffer>> = new Map(),
  ) {
    this.#modules = new Map(modules);
    const { ops, hotNames } = catalog();
    this.#names = [...hotNames, 'header'];
    this.#semantics = hotNames.map((name) => ops.all.get(name)!.emit);
    this.#semantics.push(() => {});
    this.#numbers = new Map(this.#names.map((name, number) => [name, number]));
    this.#firstCold = this.#names.length;
    this.#env = { memory, ...host, ...core };
    this.#handlers = handlers;
  }

  /** The number of a micro-operation of semantics/all.ts, or of the one that `semantics` gives this name. */
  number(name: string, semantics?: Semantics): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const emit = semantics ?? catalog().ops.all.get(name)?.emit;
    if (emit === undefined) throw new Error(`there is no micro-operation ${name}`);
    const number = this.#names.push(name) - 1;
    this.#semantics.push(emit);
    this.#numbers.set(name, number);
    let bytes = this.#modules.get(name);
    if (bytes === undefined) this.#modules.set(name, (bytes = coldModule(emit)));
    this.#handlers.set(number - this.#firstCold, this.instantiate(new WebAssembly.Module(bytes))['handler']!);
    return number;
  }

  /** WebAssembly of cold ones, by name: those that the table was given, and those that were asked for since. */
  get modules(): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
    return this.#modules;
  }

  /** Undefined for compiled regions. */
  nameOf(number: number): string | undefined {
    return this.#names[number];
  }

  semanticsOf(number: number): Semantics {
    return this.#semantics[number]!;
  }

  /** The exports of a module that imports what imports.ts says, and `constants`. */
  instantiate(module: WebAssembly.Module, constants?: Record<string, number>): Record<string, CallableFunction> {
    const { exports } = new WebAssembly.Instance(module, { env: { ...this.#env, ...constants } });
    return exports as Record<string, CallableFunction>;
  }

  // -- compiled regions

  /** How many more groups of regions there is room for. */
  get freeGroups(): number {
    return this.#free.length + Math.floor((MAX_COLD + MAX_REGIONS - this.#unused) / REGION_GROUP);
  }

  /** The place in the table of the first region of a group. */
  reserveGroup(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    this.#unused += REGION_GROUP;
    return this.#unused - REGION_GROUP;
  }

  /** Its regions have been removed. */
  releaseGroup(first: number): void {
    this.#free.push(first);
  }

  /** The number that records have to call the region in this place: (cpu, number of the block) -> record or status. */
  regionNumber(place: number): number {
    return this.#firstCold + place;
  }

  setRegion(place: number, region: CallableFunction): void {
    this.#handlers.set(place, region);
  }

  removeRegion(place: number): void {
    this.#handlers.set(place, null);
  }
}

function coldModule(semantics: Semantics): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder('cold-operations');
  const imports = importHost(m);
  const mmu = importMmu(m);
  const rareFloat = importRareFunctions(m);
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
    const emit = new InterpreterEmit(f, cpu, rec, { mmu, imports, rareFloat }, exits);
    semantics(emit);
    f.return(rec.add(RECORD_SIZE));
  };
  m.func(['i32', 'i32'], ['i32'], body, 'handler');
  return m.encode();
}
