/** Help texts, made from the tables of commands and options. */
import { type Option, type Options, optionName } from './options/option.ts';
import type { KeyHelp } from './options/syntax.ts';
import type { Positional } from './parser.ts';

/** What help needs to know of a command. */
export interface CommandHelp {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** A paragraph. */
  readonly description: string;
  readonly options: Options;
  readonly positionals: readonly Positional[];
  readonly examples: readonly string[];
}

const DESCRIPTION_COLUMN = 28;

/** Help for the whole program. */
export function programHelp(commands: readonly CommandHelp[], options: Options, width: number): string {
  return [
    'Usage: crosvm [OPTIONS] COMMAND [ARGUMENTS]\n',
    wrap('A virtual machine monitor: runs Linux and other x86-64 guests, on KVM or on its own software CPU.', 0, width),
    `\nCommands:\n${commands.map((c) => entry(`  ${c.name}`, c.summary, width)).join('')}`,
    sections(options, width),
    `\nHelp for one command: crosvm COMMAND --help\n`,
  ].join('');
}

/** Help for a command that stands for several. */
export function groupHelp(
  group: { readonly name: string; readonly description: string; readonly commands: readonly CommandHelp[] },
  width: number,
): string {
  return [
    `Usage: crosvm ${group.name} COMMAND [ARGUMENTS]\n`,
    wrap(group.description, 0, width),
    `\nCommands:\n${group.commands.map((c) => entry(`  ${c.name}`, c.summary, width)).join('')}`,
    `\nHelp for one command: crosvm ${group.name} COMMAND --help\n`,
  ].join('');
}

/** Help for one command. */
export function commandHelp(command: CommandHelp, width: number): string {
  const options = Object.keys(command.options).length === 0 ? '' : ' [OPTIONS]';
  const names = command.positionals.map(positionalUsage).join('');
  return [
    `Usage: crosvm ${command.name}${options}${names}\n`,
    wrap(command.description, 0, width),
    command.positionals.length === 0 ? '' : '\nArguments:\n',
    ...command.positionals.map((p) => entry(`  ${p.name}`, p.help, width)),
    sections(command.options, width),
    command.examples.length === 0 ? '' : `\nExamples:\n${command.examples.map((e) => `  ${e}\n`).join('')}`,
  ].join('');
}

function positionalUsage({ name, required, repeated }: Positional): string {
  const usage = repeated ? `${name}...` : name;
  return required ? ` ${usage}` : ` [${usage}]`;
}

function sections(options: Options, width: number): string {
  const bySection = Map.groupBy(Object.entries(options), ([, option]) => option.section);
  const help = entry('  -h, --help', 'Show this help.', width);
  if (bySection.size === 0) return `\nOptions:\n${help}`;
  const parts = [...bySection].map(
    ([section, list]) => `\n${section}:\n${list.map(([field, option]) => optionHelp(field, option, width)).join('')}`,
  );
  return parts.join('') + help;
}

function optionHelp(field: string, option: Option<unknown>, width: number): string {
  const short = option.short === undefined ? '    ' : `-${option.short}, `;
  const long = [optionName(field), ...(option.aliases ?? [])].map((name) => `--${name}`).join(', ');
  const text = option.help + defaultNote(option) + (option.kind === 'list' ? ' Repeatable.' : '');
  const keys = option.syntax?.keys ?? [];
  const listed = keys.length > 1 ? keys.map((key) => keyHelp(key, width)).join('') : '';
  const variants = Object.entries(option.variants ?? {}).map(([name, { short: letter, syntax, help }]) => {
    const term = `${letter === undefined ? '    ' : `-${letter}, `}--${name} ${syntax.metavar}`;
    return entry(`  ${term}`, `${help} Repeatable.`, width);
  });
  return entry(`  ${short}${long}${valueUsage(option)}`, text, width) + listed + variants.join('');
}

/** How the option's value is written behind its name. */
function valueUsage({ syntax, implied }: Option<unknown>): string {
  if (syntax === undefined) return '';
  return implied === undefined ? ` ${syntax.metavar}` : `[=${syntax.metavar}]`;
}

function defaultNote({ fallback }: Option<unknown>): string {
  return typeof fallback === 'string' || typeof fallback === 'number' ? ` [default: ${fallback}]` : '';
}

function keyHelp({ usage, help }: KeyHelp, width: number): string {
  const indent = DESCRIPTION_COLUMN + 2;
  return wrap(`${usage}: ${help}`, indent, width, indent + 2);
}

/** A term and its description beside it, or below it where the term is too long. */
function entry(term: string, description: string, width: number): string {
  const body = wrap(description, DESCRIPTION_COLUMN, width);
  if (term.length + 2 > DESCRIPTION_COLUMN) return `${term}\n${body}`;
  return term.padEnd(DESCRIPTION_COLUMN) + body.slice(DESCRIPTION_COLUMN);
}

/** `text` in lines of at most `width` columns (but never less than one word), indented. */
function wrap(text: string, indent: number, width: number, hanging = indent): string {
  const lines: string[] = [];
  let line = ' '.repeat(indent);
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = ' '.repeat(hanging);
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return `${lines.join('\n')}\n`;
}
