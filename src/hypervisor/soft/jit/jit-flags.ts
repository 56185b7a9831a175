/**
 * The arithmetic flags while a compiled region runs. What the last operation left is kept in three locals as it is, its
 * operands or its result, with a number that says which; the flags are computed where somebody reads them. As long as
 * the compiler knows which operation it was, a condition becomes one comparison of its operands, and what nobody reads
 * is never computed.
 */

import { Flags, type FlagWords, type Size, signExtend } from '../semantics/flags.ts';
import { CPU } from '../state.ts';
import { I32, I64, type I64Like } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import { type Form, GIVEN, type Known, kindOf, USES, WITH_RESULT, wordsOf } from './kept-flags.ts';

/** What is known where code is emitted now. */
interface State {
  /** The operation; then `given` is exact. */
  readonly known: Known | undefined;
  /** GIVEN bits that are certainly set. */
  readonly given: number;
}

const NOTHING: State = { known: undefined, given: 0 };

export class JitFlags extends Flags {
  readonly #kind: Local<'i32'>;
  readonly #kept: { readonly x: Local<'i64'>; readonly y: Local<'i64'>; readonly z: Local<'i64'> };
  /** Those of GIVEN. */
  readonly #cf: Local<'i64'>;
  readonly #of: Local<'i64'>;
  readonly #settleFlags: Callable;
  /** What the locals hold, as long as the code is inside `#place`, where it was put there. */
  #state = NOTHING;
  #place = 0;

  constructor(f: FunctionBuilder, cpu: I32, settleFlags: Callable) {
    super(f, cpu);
    this.#kind = f.lasting('i32');
    this.#kept = { x: f.lasting('i64'), y: f.lasting('i64'), z: f.lasting('i64') };
    this.#cf = f.lasting('i64');
    this.#of = f.lasting('i64');
    this.#settleFlags = settleFlags;
  }

  /** Code comes here from several places. */
  forget(): void {
    this.#state = NOTHING;
  }

  /** Stores what is kept for the next region, or for defineSettleFlags(): where the region is left. */
  store(): void {
    const { f } = this;
    const { known, given } = this.#now();
    if (known === undefined) {
      f.if(this.#kind, () => this.#storeAll());
    } else if (known.form !== 'memory' || given !== 0) {
      this.#storeKept(I32.const(kindOf(known, given)), known.form === 'memory' ? '' : `x${USES[known.form]}`);
      this.#storeGiven(given);
    }
  }

  #storeAll(): void {
    const { f } = this;
    this.#storeKept(this.#kind, 'xyz');
    f.ifRare(this.#kind.geU(GIVEN.cf), () => this.#storeGiven(GIVEN.cf | GIVEN.of));
  }

  #storeKept(kind: I32, uses: string): void {
    const { f, cpu } = this;
    const { x, y, z } = this.#kept;
    f.store32(cpu, CPU.keptKind, kind);
    if (uses.includes('x')) f.store64(cpu, CPU.keptX, x);
    if (uses.includes('y')) f.store64(cpu, CPU.keptY, y);
    if (uses.includes('z')) f.store64(cpu, CPU.keptZ, z);
  }

  #storeGiven(given: number): void {
    const { f, cpu } = this;
    if ((given & GIVEN.cf) !== 0) f.store64(cpu, CPU.keptCf, this.#cf);
    if ((given & GIVEN.of) !== 0) f.store64(cpu, CPU.keptOf, this.#of);
  }

  override logic(result: I64, size: Size): void {
    this.#keep('logic', size, result);
  }

  override add(_a: I64, b: I64, result: I64, size: Size): void {
    this.#keep('add', size, result, b);
  }

  override sub(a: I64, b: I64, _result: I64, size: Size): void {
    this.#keep('sub', size, a, b);
  }

  override adc(a: I64, b: I64, result: I64, size: Size): void {
    this.#keep('adc', size, a, b, result);
  }

  override sbb(a: I64, b: I64, result: I64, size: Size): void {
    this.#keep('sbb', size, a, b, result);
  }

  override inc(result: I64, size: Size): void {
    this.#keep('inc', size, result, this.cf64());
  }

  override dec(result: I64, size: Size): void {
    this.#keep('dec', size, result, this.cf64());
  }

  override shl(a: I64, count: I64, result: I64, size: Size): void {
    this.#keep('shl', size, result, a, count);
  }

  override shr(a: I64, count: I64, result: I64, size: Size): void {
    this.#keep('shr', size, result, a, count);
  }

  override sar(a: I64, count: I64, result: I64, size: Size): void {
    this.#keep('sar', size, result, a, count);
  }

  override carry(cf: I64, of?: I64Like): void {
    const { f } = this;
    const { known, given } = this.#now();
    const overflow = of === undefined ? undefined : f.let(I64.of(of));
    f.set(this.#cf, cf);
    if (overflow !== undefined) f.set(this.#of, overflow);
    const now = given | GIVEN.cf | (of === undefined ? 0 : GIVEN.of);
    f.set(this.#kind, known === undefined ? this.#kind.or(now) : I32.const(kindOf(known, now)));
    this.#state = { known, given: now };
    this.#place = f.place;
  }

  override load(image: I32): void {
    this.#keep('image', 8, image.toI64());
  }

  override floats(a: I64, b: I64): void {
    this.#keep('floats', 8, a, b);
  }

  override cf64(): I64 {
    if (this.#isGiven(GIVEN.cf)) return this.#cf;
    const known = this.#readable();
    const { x, y } = this.#kept;
    switch (known.form) {
      case 'inc':
      case 'dec':
        return y;
      case 'image':
        return x.and(1);
      case 'logic':
        return I64.const(0);
      case 'add':
        return x.ltU(y).toI64();
      case 'sub':
        return x.ltU(y).toI64();
      default:
        return super.cf64();
    }
  }

  override cf(): I32 {
    if (this.#isGiven(GIVEN.cf)) return this.#cf.wrap();
    const { form } = this.#readable();
    const { x, y } = this.#kept;
    if (form === 'add' || form === 'sub') return x.ltU(y);
    if (form === 'floats') return x.asF64().ge(y.asF64()).eqz();
    return form === 'logic' ? I32.const(0) : this.cf64().wrap();
  }

  override zf(): I32 {
    const { form } = this.#readable();
    const { x, y, z } = this.#kept;
    if (form === 'sub') return x.eq(y);
    if (WITH_RESULT.has(form)) return x.eqz();
    if (form === 'image') return bit(x, 6);
    if (form === 'floats') return x.asF64().lt(y.asF64()).or(y.asF64().lt(x.asF64())).eqz();
    return form === 'adc' || form === 'sbb' ? z.eqz() : super.zf();
  }

  override sf(): I32 {
    const { form, size } = this.#readable();
    const { x, y, z } = this.#kept;
    if (form === 'sub') return negative(x.sub(y), size);
    if (WITH_RESULT.has(form)) return negative(x, size);
    if (form === 'image') return bit(x, 7);
    return form === 'adc' || form === 'sbb' ? negative(z, size) : super.sf();
  }

  override of(): I32 {
    if (this.#isGiven(GIVEN.of)) return this.#of.wrap();
    const { form, size } = this.#readable();
    const { x, y } = this.#kept;
    const top = (value: I64) =>
      value
        .shrU(size * 8 - 1)
        .wrap()
        .and(1);
    if (form === 'sub') return top(x.xor(y).and(x.xor(x.sub(y))));
    if (form === 'add') return top(x.xor(y).and(x.xor(x.sub(y))));
    if (form === 'logic') return I32.const(0);
    if (form === 'inc') return x.eq(I64.const(1n << BigInt(size * 8 - 1)));
    if (form === 'dec') return x.eq(I64.const((1n << BigInt(size * 8 - 1)) - 1n));
    return form === 'image' ? bit(x, 11) : super.of();
  }

  override pf(): I32 {
    const { form } = this.#readable();
    const { x, y } = this.#kept;
    if (form === 'floats') return x.asF64().ne(x.asF64()).or(y.asF64().ne(y.asF64()));
    return form === 'image' ? bit(x, 2) : super.pf();
  }

  override af(): I32 {
    const { form } = this.#readable();
    return form === 'image' ? bit(this.#kept.x, 4) : super.af();
  }

  protected override positive(pair: number): I32 {
    const { known, given } = this.#now();
    if (given !== 0) return super.positive(pair);
    const { form, size } = known ?? this.#readable();
    const { x, y } = this.#kept;
    if (form === 'sub') {
      if (pair === 3) return x.leU(y);
      if (pair === 6) return lessSigned(x, y, size);
      if (pair === 7) return lessSigned(y, x, size).eqz();
    }
    if (form === 'floats' && pair === 3) return y.asF64().lt(x.asF64()).eqz();
    if (form === 'logic') {
      if (pair === 3) return x.eqz();
      if (pair === 6) return negative(x, size);
      if (pair === 7) return signExtend(x, size).leS(0);
    }
    return super.positive(pair);
  }

  protected override get words(): FlagWords {
    const known = this.#readable();
    return known.form === 'memory' ? super.words : wordsOf(known, this.#kept);
  }

  protected override put({ result, carry, other }: FlagWords): void {
    this.#keep('words', 1, result, carry, other.toI64());
  }

  /** Remembers an operation. The values may be made of what is kept now. */
  #keep(form: Form, size: Size, x: I64, y?: I64, z?: I64): void {
    const { f } = this;
    const kept = this.#kept;
    const [vy, vz] = [y && this.#stable(y), z && this.#stable(z)];
    f.set(kept.x, x);
    if (vy !== undefined) f.set(kept.y, vy);
    if (vz !== undefined) f.set(kept.z, vz);
    const known = { form, size };
    f.set(this.#kind, I32.const(kindOf(known, 0)));
    this.#state = { known, given: 0 };
    this.#place = f.place;
  }

  /** Locals other than ours, and constants, do not change when x does. */
  #stable(value: I64): I64 {
    const isOurs = Object.values(this.#kept).some((local) => local.local === (value as Local<'i64'>).local);
    return value.args.length === 0 && !isOurs ? value : this.f.let(value);
  }

  #now(): State {
    return this.f.isInside(this.#place) ? this.#state : NOTHING;
  }

  #isGiven(flag: number): boolean {
    return (this.#now().given & flag) !== 0;
  }

  /** The operation, after making it known. */
  #readable(): Known {
    const { known } = this.#now();
    if (known !== undefined) return known;
    this.#settle();
    const memory: Known = { form: 'memory', size: 1 };
    this.#state = { known: memory, given: 0 };
    this.#place = this.f.place;
    return memory;
  }

  /** Makes sure that the flags are in the vCPU's block. */
  #settle(): void {
    const { f, cpu } = this;
    f.if(this.#kind, () => this.#storeAll());
    f.if(f.load32(cpu, CPU.keptKind), () => f.run(this.#settleFlags, cpu));
    f.set(this.#kind, I32.const(0));
  }
}

function bit(value: I64, number: number): I32 {
  return value.shrU(number).wrap().and(1);
}

function negative(value: I64, size: Size): I32 {
  return size === 4 ? value.wrap().ltS(0) : signExtend(value, size).ltS(0);
}

function lessSigned(x: I64, y: I64, size: Size): I32 {
  return size === 4 ? x.wrap().ltS(y.wrap()) : signExtend(x, size).ltS(signExtend(y, size));
}
