/**
 * The guest's registers while a compiled region runs: each that it uses is a local, loaded where the region is entered
 * and stored where it is left.
 */
import { CPU, SLOT } from '../state.ts';
import type { I32, V128 } from '../wasm/expr.ts';
import type { FunctionBuilder, Local } from '../wasm/function-builder.ts';

/** Slots from here on are temporaries of an instruction: they hold nothing where a region is entered. */
const FIRST_TEMPORARY = SLOT.ea / 8;
const SLOTS = SLOT.t3 / 8 + 1;
const VECTORS = 18;
const FIRST_VECTOR_TEMPORARY = 16;

/** Registers of one kind, by number. */
class Bank<T extends 'i64' | 'v128'> {
  readonly locals: (Local<T> | undefined)[];
  readonly written: boolean[];
  readonly #f: FunctionBuilder;
  readonly #type: T;

  constructor(f: FunctionBuilder, type: T, count: number) {
    this.#f = f;
    this.#type = type;
    this.locals = new Array<Local<T> | undefined>(count).fill(undefined);
    this.written = new Array<boolean>(count).fill(false);
  }

  use(number: number): Local<T> {
    let local = this.locals[number];
    if (local === undefined) {
      local = this.#f.lasting(this.#type);
      this.locals[number] = local;
    }
    return local;
  }

  write(number: number): Local<T> {
    this.written[number] = true;
    return this.use(number);
  }
}

export class Registers {
  readonly #f: FunctionBuilder;
  readonly #cpu: I32;
  readonly #slots: Bank<'i64'>;
  readonly #vectors: Bank<'v128'>;
  /** Slots that hold no more than 32 bits where code is emitted now, as expressions that say so. */
  readonly #narrow = new Map<number, Local<'i64'>>();
  #loops = 0;

  constructor(f: FunctionBuilder, cpu: I32) {
    this.#f = f;
    this.#cpu = cpu;
    this.#slots = new Bank(f, 'i64', SLOTS);
    this.#vectors = new Bank(f, 'v128', VECTORS);
  }

  /** Slot `offset` / 8 (state.ts), to be read. */
  slot(offset: number): Local<'i64'> {
    const narrow = this.#f.loops === this.#loops ? this.#narrow.get(offset >> 3) : undefined;
    return narrow ?? this.#slots.use(offset >> 3);
  }

  /** Code comes here from several places. A loop within an instruction is another such place. */
  forget(): void {
    this.#narrow.clear();
    this.#loops = this.#f.loops;
  }

  /**
   * The slot gets a value of so many bits. `always`: not only on one of several ways through the instruction.
   */
  noteWidth(offset: number, bits: number, always: boolean): void {
    const number = offset >> 3;
    if (bits > 32) this.#narrow.delete(number);
    else if (always && !this.#narrow.has(number)) {
      this.#narrow.set(number, this.#f.narrow(this.#slots.use(number), 32));
    }
  }

  /** The same, to be written. */
  writtenSlot(offset: number): Local<'i64'> {
    return this.#slots.write(offset >> 3);
  }

  /** XMM register or temporary `number`. */
  vector(number: number): Local<'v128'> {
    return this.#vectors.use(number);
  }

  /** The number of the vector register whose value an expression is, if it is nothing but that. */
  vectorNumberOf(value: V128): number | undefined {
    const number = this.#vectors.locals.indexOf(value as Local<'v128'>);
    return number < 0 ? undefined : number;
  }

  writtenVector(number: number): Local<'v128'> {
    return this.#vectors.write(number);
  }

  /** The address of a vector register after its value has been stored there. */
  storedVector(number: number): I32 {
    const offset = CPU.xmm + 16 * number;
    const local = this.#vectors.locals[number];
    if (local !== undefined) this.#f.store128(this.#cpu, offset, local);
    return this.#cpu.add(offset);
  }

  /** Loads all registers that the region uses, known when it is complete. */
  loadLater(): void {
    const f = this.#f;
    f.later(() => {
      this.#slots.locals.forEach((local, n) => {
        if (local !== undefined && n < FIRST_TEMPORARY) f.set(local, f.load64(this.#cpu, 8 * n));
      });
      this.#vectors.locals.forEach((local, n) => {
        if (local !== undefined && n < FIRST_VECTOR_TEMPORARY) f.set(local, f.load128(this.#cpu, CPU.xmm + 16 * n));
      });
    });
  }

  /** Stores all registers that the region writes anywhere; with the temporaries if an instruction is to go on elsewhere. */
  storeLater(temporaries: boolean): void {
    const f = this.#f;
    f.later(() => {
      this.#slots.locals.forEach((local, n) => {
        if (local === undefined || !this.#slots.written[n]) return;
        if (n < FIRST_TEMPORARY || temporaries) f.store64(this.#cpu, 8 * n, local);
      });
      this.#vectors.locals.forEach((local, n) => {
        if (local === undefined || !this.#vectors.written[n]) return;
        if (n < FIRST_VECTOR_TEMPORARY || temporaries) f.store128(this.#cpu, CPU.xmm + 16 * n, local);
      });
    });
  }
}
