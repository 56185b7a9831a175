/**
 * crosvm's grammar for structured option values: `k=v,k2=[a,b],flag`.
 *
 *     list  := item (',' item)*
 *     item  := key '=' value | value
 *     value := quoted | bare | '[' list? ']'
 *
 * A bare value runs to the next `,` `[` or `]` (so it may contain `=`); a quoted one stands in `'` or `"`, with `\` before
 * a character that is to be taken as it is. What a word without `=` means (a flag, or the value of a key that may be
 * left out) is for the option that uses it to say.
 */
import { CrosvmError } from '../errors.ts';

export type KeyValueNode = string | readonly KeyValueItem[];

export interface KeyValueItem {
  readonly key?: string;
  readonly value: KeyValueNode;
}

/** Deep enough for every option there is, and too little to exhaust the stack. */
const MAX_DEPTH = 16;
const KEY = /[A-Za-z_][A-Za-z0-9_-]*=/y;
const BARE = /[^,[\]]*/y;

/** The items of `text`, in order. Throws `E_OPTION` with a phrase that says what was expected and where. */
export function parseKeyValues(text: string): KeyValueItem[] {
  const parser = new Parser(text);
  const items = parser.list(0);
  parser.expectEnd();
  return items;
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  list(depth: number): KeyValueItem[] {
    const items: KeyValueItem[] = [];
    do items.push(this.#item(depth));
    while (this.#take(','));
    return items;
  }

  expectEnd(): void {
    if (this.#at < this.#text.length) this.#fail(`"," or the end expected`);
  }

  #item(depth: number): KeyValueItem {
    const key = this.#match(KEY);
    if (key === '') return { value: this.#value(depth) };
    return { key: key.slice(0, -1), value: this.#value(depth) };
  }

  #value(depth: number): KeyValueNode {
    const next = this.#text[this.#at];
    if (next === '[') return this.#brackets(depth + 1);
    if (next === '"' || next === "'") return this.#quoted(next);
    const bare = this.#match(BARE);
    if (bare === '') this.#fail('a value expected');
    return bare;
  }

  #brackets(depth: number): KeyValueItem[] {
    if (depth > MAX_DEPTH) this.#fail(`brackets nested more than ${MAX_DEPTH} deep`);
    this.#at++;
    if (this.#take(']')) return [];
    const items = this.list(depth);
    if (!this.#take(']')) this.#fail('"]" expected');
    return items;
  }

  #quoted(quote: string): string {
    let result = '';
    for (let i = this.#at + 1; i < this.#text.length; i++) {
      const c = this.#text[i]!;
      if (c === quote) {
        this.#at = i + 1;
        return result;
      }
      if (c === '\\') i++;
      result += this.#text[i] ?? '';
    }
    return this.#fail(`closing ${quote} missing`);
  }

  #take(c: string): boolean {
    if (this.#text[this.#at] !== c) return false;
    this.#at++;
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #fail(what: string): never {
    const where = this.#at >= this.#text.length ? 'at the end' : `at "${this.#text.slice(this.#at)}"`;
    throw new CrosvmError('E_OPTION', `${what} ${where}`);
  }
}
