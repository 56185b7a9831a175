/** The right side of a rule in minijail's policy language: an expression over the arguments, or an action. */
import { CrosvmError } from '../../errors.ts';
import { constantValue, ERRNOS } from './constants.ts';
import type { Action, Atom, Rule } from './policy.ts';

const OPERATORS: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=', '&', 'in']);
const TOKEN = /\s*(&&|\|\||[=!<>]=|[<>&|~();]|kill-process|-?\w+)\s*/y;
const ALWAYS: Rule['allowedIf'] = [[]];
const MAX_U64 = 2n ** 64n - 1n;
const MAX_ERRNO = 4095;

/** `expression`, `action`, or `expression; action for the other cases`. Throws `E_SECCOMP_POLICY`. */
export function parseRule(text: string): Rule {
  const tokens = new Tokens(text);
  const rule = readRule(tokens);
  if (tokens.peek() !== undefined) fail(`"${tokens.peek()}" is unexpected`);
  return rule;
}

/** An action by itself, as `@default` has it. Throws `E_SECCOMP_POLICY`. */
export function parseAction(text: string): Action {
  const tokens = new Tokens(text);
  const action = readAction(tokens) ?? fail(`"${text}" is no action`);
  if (tokens.peek() !== undefined) fail(`"${tokens.peek()}" is unexpected`);
  return action;
}

function readRule(tokens: Tokens): Rule {
  if (tokens.take('1')) return { allowedIf: ALWAYS, otherwise: undefined };
  const action = readAction(tokens);
  if (action?.kind === 'allow') return { allowedIf: ALWAYS, otherwise: undefined };
  if (action !== undefined) return { allowedIf: [], otherwise: action };
  const allowedIf = [readAlternative(tokens)];
  while (tokens.take('||')) allowedIf.push(readAlternative(tokens));
  if (!tokens.take(';')) return { allowedIf, otherwise: undefined };
  return { allowedIf, otherwise: readAction(tokens) ?? fail(`"${tokens.next()}" is no action`) };
}

function readAction(tokens: Tokens): Action | undefined {
  if (tokens.take('allow')) return { kind: 'allow' };
  if (tokens.take('kill') || tokens.take('kill-process')) return { kind: 'kill' };
  if (tokens.take('log')) return { kind: 'log' };
  if (tokens.take('trap')) return { kind: 'trap' };
  if (!tokens.take('return')) return undefined;
  const name = tokens.next();
  const errno = /^\d/.test(name) ? Number(number(name)) : ERRNOS[name];
  if (errno === undefined || errno < 1 || errno > MAX_ERRNO) fail(`"${name}" is no error`);
  return { kind: 'errno', errno };
}

function readAlternative(tokens: Tokens): Atom[] {
  const atoms = [readAtom(tokens)];
  while (tokens.take('&&')) atoms.push(readAtom(tokens));
  return atoms;
}

function readAtom(tokens: Tokens): Atom {
  const name = tokens.next();
  const argument = /^arg([0-5])$/.exec(name)?.[1] ?? fail(`"${name}" is not one of arg0 to arg5`);
  const operator = tokens.next();
  if (!OPERATORS.has(operator)) fail(`"${operator}" is no comparison`);
  return { argument: Number(argument), operator: operator as Atom['operator'], value: readValue(tokens) };
}

/** Constants joined by `|`. */
function readValue(tokens: Tokens): bigint {
  let value = readConstant(tokens);
  while (tokens.take('|')) value |= readConstant(tokens);
  return value;
}

function readConstant(tokens: Tokens): bigint {
  if (tokens.take('~')) return MAX_U64 ^ readConstant(tokens);
  if (tokens.take('(')) {
    const value = readValue(tokens);
    if (!tokens.take(')')) fail('a ")" is missing');
    return value;
  }
  const word = tokens.next();
  return /^-?\d/.test(word) ? number(word) : constantValue(word);
}

/** Decimal, 0x hexadecimal or, with a leading 0, octal; of 64 bits, signed or not. */
function number(word: string): bigint {
  const [, sign, digits] = /^(-?)(0x[0-9a-f]+|\d+)$/i.exec(word) ?? fail(`"${word}" is not a number`);
  const octal = /^0\d/.test(digits!);
  if (octal && /[89]/.test(digits!)) fail(`"${word}" is not a number`);
  const magnitude = BigInt(octal ? `0o${digits}` : digits!);
  if (magnitude > (sign === '-' ? 2n ** 63n : MAX_U64)) fail(`${word} does not fit in 64 bits`);
  return BigInt.asUintN(64, sign === '-' ? -magnitude : magnitude);
}

class Tokens {
  readonly #words: string[] = [];
  #at = 0;

  constructor(text: string) {
    TOKEN.lastIndex = 0;
    for (let end = 0; end < text.length; end = TOKEN.lastIndex) {
      const [, word] = TOKEN.exec(text) ?? fail(`"${text.slice(end).trim()}" is not understood`);
      this.#words.push(word!);
    }
  }

  peek(): string | undefined {
    return this.#words[this.#at];
  }

  next(): string {
    return this.#words[this.#at++] ?? fail('it ends too early');
  }

  /** Whether `word` is next, which is then taken. */
  take(word: string): boolean {
    if (this.#words[this.#at] !== word) return false;
    this.#at++;
    return true;
  }
}

function fail(message: string): never {
  throw new CrosvmError('E_SECCOMP_POLICY', message);
}
