/**
 * The guest's registers while a compiled region runs: each that it uses is a local. In a region with a tight loop they are loaded
 * where it is entered and stored where it is left. In others execution leaves after few instructions, and there would be too
 * many to stay in the host's registers anyway: a block loads what it uses, and stores what it writes at once.
 */
import { CPU, SLOT } from '../state.ts';
import type { I32, I64, V128 } from '../wasm/expr.ts';
import type { FunctionBuilder, Local } from '../wasm/function-builder.ts';
import { significantBits } from '../wasm/narrow.ts';

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
  /** Slots whose locals are as the vCPU's block where code is emitted now, by the place from which on they are. */
  readonly #fresh = new Map<number, number>();
  /** Temporaries that the instruction has written. */
  readonly #temporaries = new Set<number>();
  readonly #isInBlock: boolean;
  #loops = 0;

  /** `isInBlock`: the vCPU's block has all values all the time. */
  constructor(f: FunctionBuilder, cpu: I32, isInBlock: boolean) {
    this.#f = f;
    this.#cpu = cpu;
    this.#isInBlock = isInBlock;
    this.#slots = new Bank(f, 'i64', SLOTS);
    this.#vectors = new Bank(f, 'v128', VECTORS);
  }

  /** Slot `offset` / 8 (state.ts), to be read. */
  slot(offset: number): Local<'i64'> {
    const number = offset >> 3;
    if (this.#isInBlock && number < FIRST_TEMPORARY) this.#refresh(number);
    const narrow = this.#f.loops === this.#loops ? this.#narrow.get(number) : undefined;
    return narrow ?? this.#slots.use(number);
  }

  /** Gives a slot a value. `always`: not only on one of several ways through the instruction. */
  setSlot(offset: number, value: I64, always: boolean): void {
    const f = this.#f;
    const number = offset >> 3;
    const local = this.#slots.write(number);
    f.set(local, value);
    if (number >= FIRST_TEMPORARY) this.#temporaries.add(number);
    else if (this.#isInBlock) {
      f.store64(this.#cpu, 8 * number, local);
      if (!this.#isFresh(number)) this.#fresh.set(number, f.place);
    }
    this.#noteWidth(number, significantBits(value), always);
  }

  #isFresh(number: number): boolean {
    const place = this.#fresh.get(number);
    return place !== undefined && this.#f.isInside(place);
  }

  #refresh(number: number): void {
    if (this.#isFresh(number)) return;
    const f = this.#f;
    f.set(this.#slots.use(number), f.load64(this.#cpu, 8 * number));
    this.#fresh.set(number, f.place);
  }

  /** Code comes here from several places. A loop within an instruction is another such place. */
  forget(): void {
    this.#narrow.clear();
    this.#fresh.clear();
    this.#loops = this.#f.loops;
  }

  #noteWidth(number: number, bits: number, always: boolean): void {
    if (bits > 32) this.#narrow.delete(number);
    else if (always && !this.#narrow.has(number)) {
      this.#narrow.set(number, this.#f.narrow(this.#slots.use(number), 32));
    }
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
        if (local !== undefined && n < FIRST_TEMPORARY && !this.#isInBlock) f.set(local, f.load64(this.#cpu, 8 * n));
      });
      this.#vectors.locals.forEach((local, n) => {
        if (local !== undefined && n < FIRST_VECTOR_TEMPORARY) f.set(local, f.load128(this.#cpu, CPU.xmm + 16 * n));
      });
    });
  }

  /** The records that follow are those of another instruction. */
  beginInstruction(): void {
    this.#temporaries.clear();
  }

  /** Stores what the instruction has in temporaries, as it is to go on elsewhere. */
  storeTemporaries(): void {
    for (const number of this.#temporaries) this.#f.store64(this.#cpu, 8 * number, this.#slots.use(number));
  }

  /** Stores all registers that the region writes anywhere; with the temporary vectors if an instruction is to go on elsewhere. */
  storeLater(temporaries: boolean): void {
    const f = this.#f;
    f.later(() => {
      this.#slots.locals.forEach((local, n) => {
        if (n < FIRST_TEMPORARY && !this.#isInBlock && local !== undefined && this.#slots.written[n]) {
          f.store64(this.#cpu, 8 * n, local);
        }
      });
      this.#vectors.locals.forEach((local, n) => {
        if (local === undefined || !this.#vectors.written[n]) return;
        if (n < FIRST_VECTOR_TEMPORARY || temporaries) f.store128(this.#cpu, CPU.xmm + 16 * n, local);
      });
    });
  }
}
