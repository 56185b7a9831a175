/** Turns the words of a command line into the typed configuration that a table of options declares. */
import { CrosvmError } from '../errors.ts';
import { suggestion } from './nearest.ts';
import { type Option, type Options, optionName, type Parsed, withDefaults } from './options/option.ts';

export interface Positional {
  /** Upper case, as help shows it. */
  readonly name: string;
  readonly help: string;
  readonly required: boolean;
  /** The last one may take any number of words. */
  readonly repeated?: boolean;
}

export interface CommandLine<O extends Options> {
  readonly options: Parsed<O>;
  readonly positionals: readonly string[];
  /** Whether -h or --help was among the words; the rest was not looked at then. */
  readonly help: boolean;
}

interface Found {
  readonly field: string;
  readonly option: Option<unknown>;
}

function usage(message: string): never {
  throw new CrosvmError('E_USAGE', message);
}

/**
 * Parses `words`. Options and positional arguments may be mixed; `--` ends the options. With `stopAtPositional`, words
 * from the first positional argument on are all positional. Throws `E_USAGE` with what is wrong and, for a misspelling,
 * what is nearest.
 */
export function parseCommandLine<const O extends Options>(
  options: O,
  positionals: readonly Positional[],
  words: readonly string[],
  stopAtPositional = false,
): CommandLine<O> {
  const scan = new Scan(options, words);
  const help = scan.run(stopAtPositional);
  const parsed = withDefaults(options, scan.given as Partial<Parsed<O>>);
  if (help) return { options: parsed, positionals: [], help };
  if (!stopAtPositional) checkPositionals(positionals, scan.positionals);
  return { options: parsed, positionals: scan.positionals, help };
}

function checkPositionals(wanted: readonly Positional[], given: readonly string[]): void {
  const missing = wanted.find((p, i) => p.required && i >= given.length);
  if (missing !== undefined) usage(`${missing.name} is missing`);
  const anyNumber = wanted.at(-1)?.repeated === true;
  if (given.length > wanted.length && !anyNumber) usage(`unexpected argument ${shown(given[wanted.length]!)}`);
}

class Scan {
  readonly given: Record<string, unknown> = {};
  readonly positionals: string[] = [];
  readonly #names: ReadonlyMap<string, Found>;
  readonly #words: readonly string[];
  #next = 0;

  constructor(options: Options, words: readonly string[]) {
    this.#names = spellings(options);
    this.#words = words;
  }

  /** Whether help was asked for. */
  run(stopAtPositional: boolean): boolean {
    while (this.#next < this.#words.length) {
      const word = this.#words[this.#next++]!;
      if (word === '-h' || word === '--help') return true;
      if (word === '--') return this.#rest();
      if (word.startsWith('-') && word !== '-') this.#option(word);
      else if (this.positionals.push(word) && stopAtPositional) return this.#rest();
    }
    return false;
  }

  #rest(): boolean {
    this.positionals.push(...this.#words.slice(this.#next));
    return false;
  }

  #option(word: string): void {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    const found = this.#names.get(name);
    if (found === undefined) usage(`unknown option ${name}${suggestion(name, this.#names.keys())}`);
    const { field, option } = found;
    if (option.kind !== 'list' && Object.hasOwn(this.given, field)) usage(`${name} is given twice`);
    if (option.kind === 'flag') {
      if (equals >= 0) usage(`${name} takes no value`);
      this.given[field] = true;
      return;
    }
    if (option.implied !== undefined && equals < 0) {
      this.given[field] = option.implied;
      return;
    }
    const value = this.#value(name, option, equals < 0 ? this.#words[this.#next++] : word.slice(equals + 1));
    if (option.kind === 'value') this.given[field] = value;
    else this.given[field] = [...((this.given[field] as unknown[] | undefined) ?? []), value];
  }

  #value(name: string, option: Option<unknown>, text: string | undefined): unknown {
    const syntax = option.syntax!;
    if (text === undefined) usage(`${name} needs a value: ${name} ${syntax.metavar}`);
    try {
      return syntax.parse(text);
    } catch (error) {
      if (error instanceof CrosvmError) usage(`${name} ${shown(text)}: ${error.message}`);
      throw error;
    }
  }
}

/** A word as it may stand in a message of one line. */
function shown(word: string): string {
  return /^[\x21-\x7e]+$/.test(word) ? word : JSON.stringify(word);
}

function spellings(options: Options): Map<string, Found> {
  const names = new Map<string, Found>();
  for (const [field, option] of Object.entries(options)) {
    const found = { field, option };
    for (const long of [optionName(field), ...(option.aliases ?? [])]) names.set(`--${long}`, found);
    if (option.short !== undefined) names.set(`-${option.short}`, found);
    for (const [long, { short, syntax }] of Object.entries(option.variants ?? {})) {
      const variant = { field, option: { ...option, syntax } };
      names.set(`--${long}`, variant);
      if (short !== undefined) names.set(`-${short}`, variant);
    }
  }
  return names;
}
