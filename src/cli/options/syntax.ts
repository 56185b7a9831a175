/**
 * What the values of options look like. A syntax turns text into a typed value or throws `E_OPTION` with a phrase; the
 * parser puts the name of the option before it.
 */
import { CrosvmError } from '../../errors.ts';
import { type KeyValueItem, parseKeyValues } from '../key-value.ts';
import { suggestion } from '../nearest.ts';

export interface ValueSyntax<T> {
  /** How help names the value. */
  readonly metavar: string;
  /** Keys of a structured value, for help. */
  readonly keys?: readonly KeyHelp[];
  parse(text: string): T;
  /** For what may be a list too, `key=[a,b]`. */
  parseList?(texts: readonly string[]): T;
}

export interface KeyHelp {
  readonly usage: string;
  readonly help: string;
}

function fail(message: string): never {
  throw new CrosvmError('E_OPTION', message);
}

/** Any text without a NUL character (which no system call could take). */
export function text(metavar: string): ValueSyntax<string> {
  return {
    metavar,
    parse: (value) => (value.includes('\0') ? fail('contains a NUL character') : value),
  };
}

/** A path that is not empty; what it must lead to is for its user to check. */
export function path(metavar = 'PATH'): ValueSyntax<string> {
  const any = text(metavar);
  return { metavar, parse: (value) => (value === '' ? fail('the path is empty') : any.parse(value)) };
}

/** A whole number, decimal or `0x` hexadecimal. */
export function integer(range: { min: number; max: number; metavar?: string }): ValueSyntax<number> {
  const { min, max } = range;
  return {
    metavar: range.metavar ?? 'N',
    parse(value) {
      if (!/^(\d+|0x[0-9a-f]+)$/i.test(value)) fail(`"${value}" is not a whole number`);
      const n = Number(value);
      if (n < min || n > max) fail(`${value} is not between ${min} and ${max}`);
      return n;
    },
  };
}

const UNITS = ['', 'K', 'M', 'G', 'T', 'P'];

/** A number of bytes: `1048576`, `1024K`, `1M`, `2.5G`; units are powers of 1024. */
export function size(metavar = 'SIZE'): ValueSyntax<number> {
  return {
    metavar,
    parse(value) {
      const [, digits, unit] =
        /^(\d+(?:\.\d+)?)([KMGTP]?)(?:i?B)?$/i.exec(value) ?? fail(`"${value}" is not a size such as 10G`);
      const bytes = Number(digits) * 1024 ** UNITS.indexOf(unit!.toUpperCase());
      if (!Number.isSafeInteger(bytes)) fail(`${value} is not a whole number of bytes, or too many`);
      return bytes;
    },
  };
}

/** A positional argument `name` that is a whole number. Throws `E_USAGE`. */
export function wholeNumber(name: string, value: string): number {
  try {
    return integer({ min: 0, max: Number.MAX_SAFE_INTEGER }).parse(value);
  } catch (error) {
    throw new CrosvmError('E_USAGE', `${name}: ${(error as Error).message}`);
  }
}

/** One of a few words. */
export function choice<const C extends string>(...words: readonly C[]): ValueSyntax<C> {
  return {
    metavar: words.join('|'),
    parse(value) {
      const found = words.find((w) => w === value);
      return found ?? fail(`"${value}" is not one of ${words.join(', ')}${suggestion(value, words)}`);
    },
  };
}

/** One or several in brackets: `a`, `[a,b]`. */
export function oneOrMore<T>(item: ValueSyntax<T>): ValueSyntax<readonly T[]> {
  return {
    metavar: item.metavar,
    parse: (value) => [item.parse(value)],
    parseList: (values) => values.map((value) => item.parse(value)),
  };
}

/** One key of a structured value. */
export interface Key<T> {
  readonly syntax: ValueSyntax<T>;
  readonly help: string;
  readonly required: boolean;
  /** The value when the key is not given. */
  readonly absent: T | undefined;
  /** Whether the key may stand without a value. */
  readonly flag: boolean;
}

/** A key that must be given. */
export function required<T>(syntax: ValueSyntax<T>, help: string): Key<T> {
  return { syntax, help, required: true, absent: undefined, flag: false };
}

/** A key that may be left out. */
export function optional<T>(syntax: ValueSyntax<T>, help: string): Key<T | undefined> {
  return { syntax, help, required: false, absent: undefined, flag: false };
}

/** A key that has a value when it is left out. */
export function defaulted<T extends string | number>(syntax: ValueSyntax<T>, value: NoInfer<T>, help: string): Key<T> {
  return { syntax, help, required: false, absent: value, flag: false };
}

/** A key that is true or false: `key`, `key=true` or `key=false`. */
export function boolean(help: string): Key<boolean> {
  const words = choice('true', 'false');
  const syntax = { metavar: words.metavar, parse: (value: string) => words.parse(value) === 'true' };
  return { syntax, help, required: false, absent: false, flag: true };
}

type Keys = Readonly<Record<string, Key<unknown>>>;
export type KeyValues<K extends Keys> = { readonly [N in keyof K]: K[N] extends Key<infer T> ? T : never };

/**
 * A structured value in crosvm's grammar. `first` is the key that a first value without a key belongs to.
 */
export function keyValues<const K extends Keys>(
  keys: K,
  options: { first?: keyof K & string; metavar?: string } = {},
): ValueSyntax<KeyValues<K>> {
  return {
    metavar: options.metavar ?? 'KEY=VALUE,...',
    keys: Object.entries(keys).map(([name, key]) => keyHelp(name, key)),
    parse(value) {
      const given = collect(keys, parseKeyValues(value), options.first);
      const result: Record<string, unknown> = {};
      for (const [name, key] of Object.entries(keys))
        result[name] = given.has(name) ? given.get(name) : absent(name, key);
      return result as KeyValues<K>;
    },
  };
}

function keyHelp(name: string, key: Key<unknown>): KeyHelp {
  if (key.flag) return { usage: name, help: key.help };
  const note = key.absent === undefined ? '' : ` [default: ${key.absent}]`;
  return { usage: `${name}=${key.syntax.metavar}`, help: key.help + note };
}

function absent(name: string, key: Key<unknown>): unknown {
  return key.required ? fail(`${name}=${key.syntax.metavar} is missing`) : key.absent;
}

function collect(keys: Keys, items: readonly KeyValueItem[], first: string | undefined): Map<string, unknown> {
  const given = new Map<string, unknown>();
  items.forEach((item, i) => {
    const [name, value] = named(keys, item, i === 0 ? first : undefined);
    if (given.has(name)) fail(`${name} is given twice`);
    given.set(name, parseKey(name, keys[name]!, value));
  });
  return given;
}

/** The key that an item is about, and the text of its value. */
function named(keys: Keys, item: KeyValueItem, first: string | undefined): [string, string | readonly string[]] {
  const { value } = item;
  if (typeof value !== 'string') {
    const name = listKey(keys, item.key);
    return [name, plainWords(name, value)];
  }
  if (item.key === undefined) {
    if (Object.hasOwn(keys, value) && keys[value]!.flag) return [value, 'true'];
    if (first !== undefined) return [first, value];
    if (Object.hasOwn(keys, value)) fail(`${value} needs a value: ${value}=${keys[value]!.syntax.metavar}`);
  }
  const name = item.key ?? value;
  checkKey(keys, name);
  return [name, value];
}

function checkKey(keys: Keys, name: string): void {
  if (!Object.hasOwn(keys, name)) fail(`unknown key "${name}"${suggestion(name, Object.keys(keys))}`);
}

function listKey(keys: Keys, name: string | undefined): string {
  if (name === undefined) fail('this option takes no list');
  checkKey(keys, name);
  if (keys[name]!.syntax.parseList === undefined) fail(`${name} takes no list`);
  return name;
}

function plainWords(name: string, items: readonly KeyValueItem[]): string[] {
  return items.map(({ key, value }) =>
    key === undefined && typeof value === 'string' ? value : fail(`${name}: a list has plain words only`),
  );
}

function parseKey(name: string, key: Key<unknown>, value: string | readonly string[]): unknown {
  const { syntax } = key;
  try {
    return typeof value === 'string' ? syntax.parse(value) : syntax.parseList!(value);
  } catch (error) {
    if (error instanceof CrosvmError) fail(`${name}: ${error.message}`);
    throw error;
  }
}

/** `syntax` with its result changed. */
export function mapped<T, U>(syntax: ValueSyntax<T>, map: (value: T) => U): ValueSyntax<U> {
  const { metavar, keys } = syntax;
  return { metavar, ...(keys && { keys }), parse: (value) => map(syntax.parse(value)) };
}
