/**
 * Reads policies in minijail's language (minijail0(5)): one `NAME: RULE` per line, `#` comments, lines that go on after a
 * `\`, `@include FILE`, `@default ACTION`. What a file says of a system call replaces what a file that it includes says;
 * `@frequency` is about the order of the filter's instructions, which the kernel's cache has made unimportant.
 */
import { CrosvmError } from '../../errors.ts';
import { parseAction, parseRule } from './parse-expression.ts';
import type { Action, Policy, Rule } from './policy.ts';
import { syscallNumbers } from './syscalls.ts';

/** The text of a file; `path` is as `@include` has it. Throws if there is none. */
export type ReadInclude = (path: string) => string;

/** A policy has some hundred lines. */
const MAX_LENGTH = 1 << 20;
const MAX_SYSCALL = 0xffff;

interface Statements {
  readonly rules: Map<number, Rule>;
  defaultAction: Action | undefined;
}

/** `name` is what errors call the text. Throws `E_SECCOMP_POLICY`, with name and line. */
export function parsePolicy(name: string, text: string, readInclude: ReadInclude): Policy {
  const included: Statements = { rules: new Map(), defaultAction: undefined };
  const own = readStatements(name, text, (path) => {
    const { rules, defaultAction } = readStatements(path, readInclude(path), () =>
      fail('an included policy cannot include another'),
    );
    for (const [syscall, rule] of rules) included.rules.set(syscall, rule);
    included.defaultAction = defaultAction ?? included.defaultAction;
  });
  return {
    rules: new Map([...included.rules, ...own.rules]),
    defaultAction: own.defaultAction ?? included.defaultAction ?? { kind: 'kill' },
  };
}

function readStatements(name: string, text: string, include: (path: string) => void): Statements {
  if (text.length > MAX_LENGTH) throw new CrosvmError('E_SECCOMP_POLICY', `${name}: is too long for a policy`);
  const statements: Statements = { rules: new Map(), defaultAction: undefined };
  for (const { line, number } of logicalLines(text)) {
    try {
      readStatement(line, statements, include);
    } catch (cause) {
      if (!(cause instanceof CrosvmError)) throw cause;
      throw new CrosvmError('E_SECCOMP_POLICY', `${name}, line ${number}: ${cause.message}`, { cause });
    }
  }
  return statements;
}

/** Without comments and empty lines; `number` is that of the first of the lines that were joined. */
function* logicalLines(text: string): Generator<{ line: string; number: number }> {
  let joined = '';
  let first = 0;
  for (const [i, raw] of text.split('\n').entries()) {
    const line = raw.replace(/#.*/, '').trim();
    if (joined === '') first = i + 1;
    if (line.endsWith('\\')) {
      joined += `${line.slice(0, -1)} `;
      continue;
    }
    joined += line;
    if (joined !== '') yield { line: joined, number: first };
    joined = '';
  }
  if (joined.trim() !== '') yield { line: joined, number: first };
}

function readStatement(line: string, statements: Statements, include: (path: string) => void): void {
  const [, directive, argument] = /^@(\w+)\s+(\S.*)$/.exec(line) ?? [];
  if (directive === 'include') include(argument!);
  else if (directive === 'default') statements.defaultAction = parseAction(argument!);
  else if (directive !== 'frequency') readFilter(line, statements.rules);
}

/** `NAME: RULE` or `{NAME, NAME}: RULE`. */
function readFilter(line: string, rules: Map<number, Rule>): void {
  const [, group, single, text] =
    /^(?:\{([^}]*)\}|([^:{}]+)):(.*)$/.exec(line) ?? fail('it is not "SYSTEM CALL: RULE"');
  const rule = parseRule(text!);
  for (const word of group?.split(',') ?? [single!]) {
    const syscall = syscallNumber(word.trim());
    if (rules.has(syscall)) fail(`there is a rule for ${word.trim()} already`);
    rules.set(syscall, rule);
  }
}

function syscallNumber(word: string): number {
  const number = /^\d+$/.test(word) ? Number(word) : syscallNumbers.get(word);
  if (number === undefined || number > MAX_SYSCALL) fail(`there is no system call "${word}"`);
  return number;
}

function fail(message: string): never {
  throw new CrosvmError('E_SECCOMP_POLICY', message);
}
