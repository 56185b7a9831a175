/**
 * What compiled code keeps of the flags between an operation and whoever reads them: numbers that they follow from, and
 * a number that says which.
 */

import { Flags, type FlagWords, flagWords, type Size, zeroExtend } from '../semantics/flags.ts';
import { CPU } from '../state.ts';
import type { I64 } from '../wasm/expr.ts';
import type { Callable } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';

/** What x, y and z hold. The number of a kind is FORM * 4 + log2(size), and the GIVEN bits. */
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
  /** Result, operand, count. */
  shl: 11,
  shr: 12,
  sar: 13,
} as const;
export type Form = keyof typeof FORM;
const FORMS = Object.keys(FORM) as Form[];

/** CF, or OF, was written behind the operation and is in a local of its own. */
export const GIVEN = { cf: 0x100, of: 0x200 } as const;

/** What is kept: after which operation, on operands of how many bytes. */
export interface Known {
  readonly form: Form;
  readonly size: Size;
}

interface Kept {
  readonly x: I64;
  readonly y: I64;
  readonly z: I64;
}

/** The words that stand in the vCPU's block, from what is kept. */
export function wordsOf({ form, size }: Known, { x, y, z }: Kept): FlagWords {
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
    case 'shl':
    case 'shr':
    case 'sar':
      return flagWords[form](y, z, x, size);
    default:
      throw new Error('flags in memory have no words');
  }
}

/** Forms whose x is the result. */
export const WITH_RESULT: ReadonlySet<Form> = new Set(['add', 'logic', 'inc', 'dec', 'shl', 'shr', 'sar'] as const);

/** Which of y and z a form uses besides x. */
export const USES: Readonly<Record<Form, '' | 'y' | 'yz'>> = {
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
  shl: 'yz',
  shr: 'yz',
  sar: 'yz',
};

/** The number that stands for it. `given`: bits of GIVEN. */
export function kindOf({ form, size }: Known, given: number): number {
  return FORM[form] * 4 + Math.log2(size) + given;
}

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
      const kind = f.let(f.load32(cpu, CPU.keptKind));
      const cases = Array.from({ length: FORMS.length * 4 }, (_, k) => () => {
        const form = FORMS[k >> 2]!;
        if (form !== 'memory') new BlockFlags(f, cpu).put(wordsOf({ form, size: (1 << (k & 3)) as Size }, kept));
      });
      f.switch(kind.and(GIVEN.cf - 1), cases, () => {});
      const flags = new BlockFlags(f, cpu);
      f.if(kind.and(GIVEN.cf), () => flags.carry(f.load64(cpu, CPU.keptCf)));
      f.if(kind.and(GIVEN.of), () => flags.carry(f.let(flags.cf64()), f.load64(cpu, CPU.keptOf)));
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
