/** Builds the body of one WebAssembly function: statements over the expressions of expr.ts. */
import { type Expr, type ExprOf, exprOf, type I32, I64, VALTYPE, type ValType } from './expr.ts';
import { MemoryBuilder } from './memory-builder.ts';
import { significantBits } from './narrow.ts';
import { unsignedLeb, Writer } from './writer.ts';

export interface Signature {
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
}

/** Something that can be called: a function of the module or an import. */
export interface Callable extends Signature {
  readonly index: number;
}

/** A local variable; reading it is an expression. */
export type Local<T extends ValType> = ExprOf[T] & { readonly local: number };

/** A local whose value has zeroes above the low `bits`. */
type NarrowLocal = Expr & { bits?: number };

/** The target of a branch. */
export interface Label {
  readonly depth: number;
}

/** Which way a branch nearly always goes, by the place of its instruction. */
export interface BranchHint {
  readonly at: number;
  readonly likely: boolean;
}

/** A function body as the code section wants it, and the hints to it: places count from the start of the body. */
export interface FunctionBody {
  readonly bytes: Uint8Array;
  readonly hints: readonly BranchHint[];
}

/** Starts of blocks without a value. */
const IF = [0x04, 0x40];
const BLOCK = [0x02, 0x40];
const LOOP = [0x03, 0x40];

export class FunctionBuilder extends MemoryBuilder {
  /** What is made when the function is complete, and where in `out` it belongs. */
  readonly #later: { readonly at: number; readonly body: () => void }[] = [];
  #hints: BranchHint[] = [];
  readonly #params: readonly ValType[];
  readonly #localTypes: ValType[] = [];
  readonly #free: Record<ValType, number[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  #scopes: { type: ValType; index: number }[][] = [];
  /** The blocks around the current place, outermost first, by a number that each has alone. */
  readonly #open: number[] = [0];
  #blocks = 0;
  #loops = 0;

  constructor(params: readonly ValType[]) {
    super();
    this.#params = params;
  }

  param<T extends ValType>(index: number, type: T): Local<T> {
    return this.#localExpr(type, index);
  }

  // -- locals

  local<T extends ValType>(type: T): Local<T> {
    const index = this.#free[type].pop() ?? this.#newLocal(type);
    this.#scopes.at(-1)?.push({ type, index });
    return this.#localExpr(type, index);
  }

  /** A local that belongs to no scope: zero at first, and never used for anything else. */
  lasting<T extends ValType>(type: T): Local<T> {
    return this.#localExpr(type, this.#newLocal(type));
  }

  /** A new local that starts with the value of `value`, and may be set to any other. */
  variable<E extends Expr>(value: E): E & { readonly local: number } {
    const local = this.local(value.type);
    this.set(local as Expr as E & { local: number }, value);
    return local as Expr as E & { readonly local: number };
  }

  /** A new local that holds the value of `value`. It can be set again to what has no more bits. */
  let<E extends Expr>(value: E): E & { readonly local: number } {
    const local = this.variable(value);
    if (value instanceof I64) (local as NarrowLocal).bits = significantBits(value);
    return local;
  }

  /** The same local where it is known to have zeroes above its low `bits`. */
  narrow(local: Local<'i64'>, bits: number): Local<'i64'> {
    const narrow = this.#localExpr('i64', local.local);
    (narrow as NarrowLocal).bits = bits;
    return narrow;
  }

  set<E extends Expr>(local: E & { readonly local: number }, value: E): void {
    const { bits } = local as NarrowLocal;
    if (bits !== undefined && significantBits(value as Expr as I64) > bits) throw new Error('the local is narrower');
    value.emit(this.out);
    this.out.u8(0x21);
    this.out.u32(local.local);
  }

  /** Locals made inside may be used again by later code. */
  scope(body: () => void): void {
    this.#scopes.push([]);
    body();
    for (const { type, index } of this.#scopes.pop()!) this.#free[type].push(index);
  }

  // -- places

  /** The innermost block, loop or branch of an if around the code that comes next. */
  get place(): number {
    return this.#open.at(-1)!;
  }

  /** Whether the code that comes next is inside `place`. */
  isInside(place: number): boolean {
    return this.#open.includes(place);
  }

  /** How many loops are around the code that comes next. */
  get loops(): number {
    return this.#loops;
  }

  /** Puts here what `body` emits when the function is complete: for what depends on code that is still to come. */
  later(body: () => void): void {
    this.#later.push({ at: this.out.length, body });
  }

  // -- calls

  /** A call that gives a value. It is evaluated where the expression is used. */
  call<T extends ValType>(callee: Callable, type: T, ...args: Expr[]): ExprOf[T] {
    return exprOf(type, [0x10, ...unsignedLeb(callee.index)], args);
  }

  /** A call for its effect. */
  run(callee: Callable, ...args: Expr[]): void {
    for (const arg of args) arg.emit(this.out);
    this.out.u8(0x10);
    this.out.u32(callee.index);
    for (let i = 0; i < callee.results.length; i++) this.out.u8(0x1a);
  }

  /** A call through table 0, of the module's type number `type`. */
  callIndirect<T extends ValType>(type: number, result: T, target: I32, ...args: Expr[]): ExprOf[T] {
    return exprOf(result, [0x11, ...unsignedLeb(type), 0], [...args, target]);
  }

  drop(value: Expr): void {
    value.emit(this.out);
    this.out.u8(0x1a);
  }

  // -- control

  if(condition: I32, then: () => void, otherwise?: () => void): void {
    this.#if(condition, undefined, then, otherwise);
  }

  /** An if whose condition nearly always holds: the compiler keeps what it costs otherwise out of the way of `then`. */
  ifLikely(condition: I32, then: () => void, otherwise: () => void): void {
    this.#if(condition, true, then, otherwise);
  }

  /** An if whose condition hardly ever holds. */
  ifRare(condition: I32, then: () => void, otherwise?: () => void): void {
    this.#if(condition, false, then, otherwise);
  }

  #if(condition: I32, likely: boolean | undefined, then: () => void, otherwise?: () => void): void {
    condition.emit(this.out);
    if (likely !== undefined) this.#hints.push({ at: this.out.length, likely });
    this.out.bytes(IF);
    this.#inside(then);
    if (otherwise !== undefined) {
      this.out.u8(0x05);
      this.#inside(otherwise);
    }
    this.out.u8(0x0b);
  }

  /** A branch to the label goes to the end of the block. */
  block(body: (label: Label) => void): void {
    this.out.bytes(BLOCK);
    this.#inside(body);
    this.out.u8(0x0b);
  }

  /** A branch to the label goes back to the start; falling off the end leaves the loop. */
  loop(body: (label: Label) => void): void {
    this.out.bytes(LOOP);
    this.#loops++;
    this.#inside(body);
    this.#loops--;
    this.out.u8(0x0b);
  }

  br(label: Label): void {
    this.out.u8(0x0c);
    this.out.u32(this.#open.length - label.depth);
  }

  brIf(label: Label, condition: I32): void {
    condition.emit(this.out);
    this.out.u8(0x0d);
    this.out.u32(this.#open.length - label.depth);
  }

  /** A branch to labels[selector], or to `otherwise` beyond them. */
  brTable(selector: I32, labels: readonly Label[], otherwise: Label): void {
    selector.emit(this.out);
    this.out.u8(0x0e);
    this.out.u32(labels.length);
    for (const label of labels) this.out.u32(this.#open.length - label.depth);
    this.out.u32(this.#open.length - otherwise.depth);
  }

  /** Goes to cases[selector], or to `otherwise` beyond them. A case that falls off its end goes on behind the switch. */
  switch(selector: I32, cases: readonly (() => void)[], otherwise: () => void): void {
    this.block((end) => {
      const enter = (i: number): void => {
        if (i < 0) {
          this.#brTable(selector, cases.length);
          return;
        }
        this.block(() => enter(i - 1));
        if (i < cases.length) this.scope(cases[i]!);
        else this.scope(otherwise);
        if (i < cases.length) this.br(end);
      };
      enter(cases.length);
    });
  }

  return(value?: Expr): void {
    value?.emit(this.out);
    this.out.u8(0x0f);
  }

  unreachable(): void {
    this.out.u8(0x00);
  }

  /** The function's locals, instructions and end. */
  finish(): FunctionBody {
    const code = this.#complete();
    const w = new Writer(code.length + 64);
    const runs: { type: ValType; count: number }[] = [];
    for (const type of this.#localTypes) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    w.u32(runs.length);
    for (const { type, count } of runs) {
      w.u32(count);
      w.u8(VALTYPE[type]);
    }
    const start = w.length;
    w.bytes(code);
    w.u8(0x0b);
    return { bytes: w.take(), hints: this.#hints.map(({ at, likely }) => ({ at: at + start, likely })) };
  }

  #complete(): Uint8Array {
    const code = this.out.view();
    if (this.#later.length === 0) return code;
    const hints = this.#hints;
    this.out = new Writer(2 * code.length);
    this.#hints = [];
    let done = 0;
    let hinted = 0;
    const copyUpTo = (end: number): void => {
      const shift = this.out.length - done;
      for (; hinted < hints.length && hints[hinted]!.at < end; hinted++) {
        const { at, likely } = hints[hinted]!;
        this.#hints.push({ at: at + shift, likely });
      }
      this.out.bytes(code.subarray(done, end));
      done = end;
    };
    for (const { at, body } of this.#later) {
      copyUpTo(at);
      body();
    }
    copyUpTo(code.length);
    return this.out.view();
  }

  #newLocal(type: ValType): number {
    return this.#params.length + this.#localTypes.push(type) - 1;
  }

  #localExpr<T extends ValType>(type: T, index: number): Local<T> {
    const local = exprOf(type, [0x20, ...unsignedLeb(index)]) as Local<T> & { local: number };
    local.local = index;
    return local;
  }

  #inside(body: (label: Label) => void): void {
    this.#open.push(++this.#blocks);
    const depth = this.#open.length;
    this.scope(() => body({ depth }));
    this.#open.pop();
  }

  #brTable(selector: I32, count: number): void {
    selector.emit(this.out);
    const out = this.out;
    out.u8(0x0e);
    out.u32(count);
    for (let i = 0; i <= count; i++) out.u32(i);
  }
}
