/**
 * Float operations on operands and results that generated code does not compute itself: zeros, infinities, NaNs, overflow,
 * denormals. A function of the core module for each element type computes them with WebAssembly's arithmetic, gives NaNs
 * x86's bits and raises the flags in MXCSR (SDM vol. 1, 11.5.2, with all exceptions masked). What takes more is left to
 * TypeScript: unmasked exceptions, other rounding modes, a first inexact or tiny result.
 */
import { CPU, XMM_TEMP } from '../state.ts';
import { I32, V128 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';
import { F32_LANES, F64_LANES, isDenormal, isNan, isZero, type Lanes, MXCSR, splatFloat } from './float-lanes.ts';
import { bitselect } from './vector-op.ts';

/** What a rare function is to do; comparisons and extrema only raise flags. `ordered` ones refuse quiet NaNs too. */
export const RARE = { add: 0, sub: 1, mul: 2, div: 3, sqrt: 4, compare: 5, compareOrdered: 6 } as const;
export type RareKind = keyof typeof RARE;

/** What a rare function returns. */
export const RARE_STATUS = {
  done: 0,
  /** Nothing was done: TypeScript has to do it. */
  left: 1,
  /** Done, with a denormal operand or result: what the code around holds for true of its operands is not. */
  denormal: 2,
} as const;

/** Parameters: the vCPU's block, RARE, a bit for each lane that counts, both operands. */
export const RARE_PARAMS = ['i32', 'i32', 'i32', 'v128', 'v128'] as const;

/** Where a rare function leaves its result, in the vCPU's block: the second vector temporary. */
export const RARE_RESULT = CPU.xmm + 16 * (XMM_TEMP + 1);

/** By size of the elements: the rare function. */
export type RareFunctions = Readonly<Record<4 | 8, Callable>>;

export function defineRareFunctions(m: ModuleBuilder): RareFunctions {
  const define = (lanes: Lanes) =>
    m.func(
      RARE_PARAMS,
      ['i32'],
      (f, cpu, kind, active, x, y) => {
        new RareFunction(f, lanes, cpu, kind, active, x, y).emit();
      },
      rareName(lanes.bytes),
    );
  return { 4: define(F32_LANES), 8: define(F64_LANES) };
}

export function importRareFunctions(m: ModuleBuilder): RareFunctions {
  const from = (bytes: 4 | 8) => m.importFunction(rareName(bytes), RARE_PARAMS, ['i32']);
  return { 4: from(4), 8: from(8) };
}

const rareName = (bytes: 4 | 8) => `rareF${8 * bytes}`;

class RareFunction {
  readonly #f: FunctionBuilder;
  readonly #lanes: Lanes;
  readonly #cpu: I32;
  readonly #kind: I32;
  readonly #active: I32;
  readonly #x: V128;
  readonly #y: V128;
  readonly #mxcsr: Local<'i32'>;
  readonly #flags: Local<'i32'>;

  constructor(f: FunctionBuilder, lanes: Lanes, cpu: I32, kind: I32, active: I32, x: V128, y: V128) {
    this.#f = f;
    this.#lanes = lanes;
    this.#cpu = cpu;
    this.#kind = kind;
    this.#active = active;
    this.#x = x;
    this.#y = y;
    this.#mxcsr = f.local('i32');
    this.#flags = f.local('i32');
  }

  emit(): void {
    const f = this.#f;
    f.set(this.#mxcsr, f.load32(this.#cpu, CPU.mxcsr));
    this.#leaveIf(this.#mxcsr.and(MXCSR.masks | MXCSR.denormalsAreZero).ne(MXCSR.masks));
    const nan = f.let(isNan(this.#lanes, this.#x).or(isNan(this.#lanes, this.#y)));
    const denormal = f.let(isDenormal(this.#lanes, this.#x).or(isDenormal(this.#lanes, this.#y)));
    f.if(
      this.#kind.geU(RARE.compare),
      () => this.#compare(nan, denormal),
      () => this.#compute(nan, denormal),
    );
    f.unreachable();
  }

  #compare(nan: Local<'v128'>, denormal: Local<'v128'>): void {
    const signaling = bitselect(nan, this.#signaling(), V128.splatI32(I32.const(0).sub(this.#kind.sub(RARE.compare))));
    this.#raise(MXCSR.invalid, signaling);
    this.#raise(MXCSR.denormal, denormal.andnot(nan));
    this.#finish(denormal);
  }

  #compute(nan: Local<'v128'>, denormal: Local<'v128'>): void {
    const f = this.#f;
    const lanes = this.#lanes;
    const [x, y] = [this.#x, this.#y];
    const { rounding, flushToZero, precisionFlag } = MXCSR;
    this.#leaveIf(this.#mxcsr.and(rounding | flushToZero | precisionFlag).ne(precisionFlag));
    const r = f.local('v128');
    const overZero = f.local('v128');
    const tiny = f.local('v128');
    const cases = [
      () => f.set(r, x.simd(lanes.add, y)),
      () => f.set(r, x.simd(lanes.sub, y)),
      () => {
        f.set(r, x.simd(lanes.mul, y));
        f.set(tiny, this.#small(r).andnot(isZero(lanes, y)));
      },
      () => {
        f.set(r, x.simd(lanes.div, y));
        f.set(tiny, this.#small(r).andnot(isInfinite(lanes, y)));
        f.set(overZero, isZero(lanes, y).and(isInfinite(lanes, r)).andnot(isInfinite(lanes, x)));
      },
    ];
    f.switch(this.#kind, cases, () => f.set(r, x.simd(lanes.sqrt)));
    this.#leaveIf(this.#mxcsr.and(MXCSR.underflow).eqz().and(this.#holdsAny(tiny).ne(0)));
    const noNumber = f.let(isNan(lanes, r));
    const tooLarge = isInfinite(lanes, r).andnot(isInfinite(lanes, x)).andnot(isInfinite(lanes, y));
    this.#raise(MXCSR.invalid, this.#signaling().or(noNumber.andnot(nan)));
    this.#raise(MXCSR.denormal, denormal.andnot(noNumber).andnot(overZero));
    this.#raise(MXCSR.divideByZero, overZero);
    this.#raise(MXCSR.overflow, tooLarge.andnot(overZero));
    f.set(r, bitselect(this.#nanOf(), r, noNumber));
    f.store128(this.#cpu, RARE_RESULT, r);
    this.#finish(denormal.or(isDenormal(lanes, r)));
  }

  /** Lanes of a product or quotient that may have been rounded when they were tiny, unless y says that they were not. */
  #small(r: V128): V128 {
    const lanes = this.#lanes;
    const small = r.simd(lanes.abs).simd(lanes.le, splatFloat(lanes, lanes.smallest));
    return small.andnot(isZero(lanes, this.#x));
  }

  /** Lanes where an operand is a signaling NaN. */
  #signaling(): V128 {
    const lanes = this.#lanes;
    const quiet = this.#quietBit();
    const of = (v: V128) => isNan(lanes, v).and(v.and(quiet).simd(lanes.eq, splatFloat(lanes, 0)));
    return of(this.#x).or(of(this.#y));
  }

  /** The NaN that a lane gets that has one: that of the first operand, or of the second, made quiet, or the default. */
  #nanOf(): V128 {
    const lanes = this.#lanes;
    const [x, y] = [this.#x, this.#y];
    const given = bitselect(y.or(this.#quietBit()), splatBits(lanes, 'default'), isNan(lanes, y));
    return bitselect(x.or(this.#quietBit()), given, isNan(lanes, x));
  }

  #quietBit(): V128 {
    return splatBits(this.#lanes, 'quiet');
  }

  /** Raises a flag, if it is not up, where `mask` has a lane. */
  #raise(flag: number, mask: V128): void {
    const f = this.#f;
    f.if(this.#mxcsr.and(flag).eqz(), () => {
      f.if(this.#holdsAny(mask), () => f.set(this.#flags, this.#flags.or(flag)));
    });
  }

  #holdsAny(mask: V128): I32 {
    return mask.simdI32(this.#lanes.bitmask).and(this.#active);
  }

  #leaveIf(condition: I32): void {
    this.#f.if(condition, () => this.#f.return(I32.const(RARE_STATUS.left)));
  }

  #finish(denormal: V128): void {
    const f = this.#f;
    f.store32(this.#cpu, CPU.mxcsr, this.#mxcsr.or(this.#flags));
    f.return(this.#holdsAny(denormal).ne(0).mul(RARE_STATUS.denormal));
  }
}

const isInfinite = (lanes: Lanes, v: V128): V128 =>
  v.simd(lanes.abs).simd(lanes.eq, splatFloat(lanes, Number.POSITIVE_INFINITY));

/** In every lane the bit that makes a NaN quiet, or the whole default NaN, which is negative. */
function splatBits(lanes: Lanes, what: 'quiet' | 'default'): V128 {
  const bytes = new Uint8Array(16);
  const upper =
    lanes.bytes === 4 ? { quiet: [0x40, 0], default: [0xc0, 0xff] } : { quiet: [8, 0], default: [0xf8, 0xff] };
  for (let end = lanes.bytes; end <= 16; end += lanes.bytes) bytes.set(upper[what], end - 2);
  return V128.const([...bytes]);
}
