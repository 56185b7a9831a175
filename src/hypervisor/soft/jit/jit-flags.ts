/**
 * The arithmetic flags while a compiled region runs. What the last operation left is kept in three locals as it is, its
 * operands or its result, with a number that says which; the flags are computed where somebody reads them. As long as
 * the compiler knows which operation it was, a condition becomes one comparison of its operands, and what nobody reads
 * is never computed.
 */

import { Flags, type FlagWords, flagWords, type Size, signExtend, zeroExtend } from '../semantics/flags.ts';
import { CPU } from '../state.ts';
import { I32, I64, type I64Like } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';

/** What x, y and z hold. The number is FORM * 4 + log2(size). */
const FORM = {
  /** Nothing: the flags are where they were when the region was entered. */
  memory: 0,
  /** flagResult, flagCarry, flagOther. */
  words: 1,
  /** Result, second operand. */
  add: 2,
  /** Both operands. */
  sub: 3,
  /** Both operands, result. */
  adc: 4,
  sbb: 5,
  /** Result. */
  logic: 6,
  /** Result, CF. */
  inc: 7,
  dec: 8,
  /** RFLAGS image. */
  image: 9,
  /** Bits of two numbers of binary64 that were compared. */
  floats: 10,
} as const;
type Form = keyof typeof FORM;
const FORMS = Object.keys(FORM) as Form[];

interface Known {
  readonly form: Form;
  readonly size: Size;
}

interface Kept {
  readonly x: I64;
  readonly y: I64;
  readonly z: I64;
}

/** The words that stand in the vCPU's block, from what is kept. */
function wordsOf({ form, size }: Known, { x, y, z }: Kept): FlagWords {
  switch (form) {
    case 'words':
      return { result: x, carry: y, other: z.wrap() };
    case 'add':
      return flagWords.add(zeroExtend(x.sub(y), size), y, x, size);
    case 'sub':
      return flagWords.sub(x, y, zeroExtend(x.sub(y), size), size);
    case 'adc':
      return flagWords.add(x, y, z, size);
    case 'sbb':
      return flagWords.sub(x, y, z, size);
    case 'logic':
      return flagWords.logic(x, size);
    case 'inc':
      return flagWords.inc(x, y, size);
    case 'dec':
      return flagWords.dec(x, y, size);
    case 'image':
      return flagWords.image(x.wrap());
    case 'floats':
      return flagWords.floats(x, y);
    default:
      throw new Error('flags in memory have no words');
  }
}

/** Which of y and z a form uses besides x. */
const USES: Readonly<Record<Form, '' | 'y' | 'yz'>> = {
  memory: '',
  words: 'yz',
  add: 'y',
  sub: 'y',
  adc: 'yz',
  sbb: 'yz',
  logic: '',
  inc: 'y',
  dec: 'y',
  image: '',
  floats: 'y',
};

/**
 * (cpu): turns what a region has left in CPU.keptKind and its companions into the flags of the vCPU's block. Regions leave
 * it to each other; everybody else finds the flags in the block.
 */
export function defineSettleFlags(m: ModuleBuilder, exportAs: string): Callable {
  return m.func(
    ['i32'],
    [],
    (f, cpu) => {
      const kept = {
        x: f.let(f.load64(cpu, CPU.keptX)),
        y: f.let(f.load64(cpu, CPU.keptY)),
        z: f.load64(cpu, CPU.keptZ),
      };
      const cases = Array.from({ length: FORMS.length * 4 }, (_, k) => () => {
        const form = FORMS[k >> 2]!;
        if (form !== 'memory') new BlockFlags(f, cpu).put(wordsOf({ form, size: (1 << (k & 3)) as Size }, kept));
      });
      f.switch(f.load32(cpu, CPU.keptKind), cases, () => {});
      f.store32(cpu, CPU.keptKind, 0);
    },
    exportAs,
  );
}

/** Opens put() to this file. */
class BlockFlags extends Flags {
  override put(words: FlagWords): void {
    super.put(words);
  }
}

export class JitFlags extends Flags {
  readonly #kind: Local<'i32'>;
  readonly #kept: { readonly x: Local<'i64'>; readonly y: Local<'i64'>; readonly z: Local<'i64'> };
  readonly #settleFlags: Callable;
  /** What the locals hold, as long as the code is inside `#place`, where it was put there. */
  #known: Known | undefined;
  #place = 0;

  constructor(f: FunctionBuilder, cpu: I32, settleFlags: Callable) {
    super(f, cpu);
    this.#kind = f.lasting('i32');
    this.#kept = { x: f.lasting('i64'), y: f.lasting('i64'), z: f.lasting('i64') };
    this.#settleFlags = settleFlags;
  }

  /** Code comes here from several places. */
  forget(): void {
    this.#known = undefined;
  }

  /** Stores what is kept for the next region, or for defineSettleFlags(): where the region is left. */
  store(): void {
    const { f } = this;
    const known = this.#now();
    if (known === undefined) {
      f.if(this.#kind, () => this.#storeKept(this.#kind, 'yz'));
    } else if (known.form !== 'memory') {
      this.#storeKept(I32.const(FORM[known.form] * 4 + Math.log2(known.size)), USES[known.form]);
    }
  }

  #storeKept(kind: I32, uses: string): void {
    const { f, cpu } = this;
    const { x, y, z } = this.#kept;
    f.store32(cpu, CPU.keptKind, kind);
    f.store64(cpu, CPU.keptX, x);
    if (uses.includes('y')) f.store64(cpu, CPU.keptY, y);
    if (uses.includes('z')) f.store64(cpu, CPU.keptZ, z);
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

  override carry(cf: I64, of: I64Like): void {
    const { f } = this;
    const { result, other } = this.words;
    const [r, o, c] = [f.let(result), f.let(other), f.let(cf)];
    this.put({ result: r, carry: c.shl(63).or(c.xor(I64.of(of)).shl(62)), other: o });
  }

  override load(image: I32): void {
    this.#keep('image', 8, image.toI64());
  }

  override floats(a: I64, b: I64): void {
    this.#keep('floats', 8, a, b);
  }

  override cf64(): I64 {
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
    if (form === 'add' || form === 'logic' || form === 'inc' || form === 'dec') return x.eqz();
    if (form === 'image') return bit(x, 6);
    if (form === 'floats') return x.asF64().lt(y.asF64()).or(y.asF64().lt(x.asF64())).eqz();
    return form === 'adc' || form === 'sbb' ? z.eqz() : super.zf();
  }

  override sf(): I32 {
    const { form, size } = this.#readable();
    const { x, y, z } = this.#kept;
    if (form === 'sub') return negative(x.sub(y), size);
    if (form === 'add' || form === 'logic' || form === 'inc' || form === 'dec') return negative(x, size);
    if (form === 'image') return bit(x, 7);
    return form === 'adc' || form === 'sbb' ? negative(z, size) : super.sf();
  }

  override of(): I32 {
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
    const { form, size } = this.#readable();
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
    f.set(this.#kind, I32.const(FORM[form] * 4 + Math.log2(size)));
    this.#known = { form, size };
    this.#place = f.place;
  }

  /** Locals other than ours, and constants, do not change when x does. */
  #stable(value: I64): I64 {
    const isOurs = Object.values(this.#kept).some((local) => local.local === (value as Local<'i64'>).local);
    return value.args.length === 0 && !isOurs ? value : this.f.let(value);
  }

  #now(): Known | undefined {
    return this.#known !== undefined && this.f.isInside(this.#place) ? this.#known : undefined;
  }

  /** What is kept, after making it known. */
  #readable(): Known {
    const known = this.#now();
    if (known !== undefined) return known;
    this.#settle();
    this.#known = { form: 'memory', size: 1 };
    this.#place = this.f.place;
    return this.#known;
  }

  /** Makes sure that the flags are in the vCPU's block. */
  #settle(): void {
    const { f, cpu } = this;
    f.if(this.#kind, () => this.#storeKept(this.#kind, 'yz'));
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
