/**
 * The shape of the one table of options. Parser, help and the TypeScript type of the parsed configuration all come
 * from it: a key of the table is the field of the configuration, and `--kebab-case` of it is the option's name.
 */
import type { ValueSyntax } from './syntax.ts';

interface Description {
  /** One letter: `m` for `-m`. */
  readonly short?: string;
  /** Other long spellings, without `--`. */
  readonly aliases?: readonly string[];
  /** The heading that help lists it under. */
  readonly section: string;
  readonly help: string;
}

/** Another option whose values go to the same list, in the order of the command line. */
export interface Variant<T> {
  readonly short?: string;
  readonly syntax: ValueSyntax<T>;
  readonly help: string;
}

export interface Option<T> extends Description {
  /** Without a value, with one, or with one each time that it is given. */
  readonly kind: 'flag' | 'value' | 'list';
  /** Undefined for a flag. */
  readonly syntax: ValueSyntax<unknown> | undefined;
  /** Of a list, by their long names. */
  readonly variants?: Readonly<Record<string, Variant<unknown>>>;
  /** The field's value when the option is not given. */
  readonly fallback: T;
  /** The value of an option that stands alone. One that has this takes a value only behind `=`. */
  readonly implied?: T;
}

export type Options = Readonly<Record<string, Option<unknown>>>;
export type Parsed<O extends Options> = { readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never };

export function flag(description: Description): Option<boolean> {
  return { ...description, kind: 'flag', syntax: undefined, fallback: false };
}

/** An option that may be left out. */
export function value<T>(description: Description & { syntax: ValueSyntax<T> }): Option<T | undefined> {
  return { ...description, kind: 'value', fallback: undefined };
}

/** An option that may be left out, and may stand without a value, which is `implied` then. */
export function valueOrImplied<T>(
  description: Description & { syntax: ValueSyntax<T>; implied: NoInfer<T> },
): Option<T | undefined> {
  return { ...description, kind: 'value', fallback: undefined };
}

/** An option with a default. */
export function valueOr<T>(description: Description & { syntax: ValueSyntax<T>; fallback: NoInfer<T> }): Option<T> {
  return { ...description, kind: 'value' };
}

/** An option that may be given any number of times. */
export function list<T>(
  description: Description & { syntax: ValueSyntax<T>; variants?: Readonly<Record<string, Variant<NoInfer<T>>>> },
): Option<readonly T[]> {
  return { ...description, kind: 'list', fallback: [] };
}

/** `splitIrqchip` -> `split-irqchip`. */
export function optionName(field: string): string {
  return field.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}

/** The configuration of someone who gave none of the options but those in `given`. */
export function withDefaults<const O extends Options>(options: O, given: Partial<Parsed<O>> = {}): Parsed<O> {
  const fallbacks = Object.fromEntries(Object.entries(options).map(([field, option]) => [field, option.fallback]));
  return { ...fallbacks, ...given } as Parsed<O>;
}
