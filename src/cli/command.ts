/** What a subcommand is. */

import type { CommandHelp } from './help.ts';
import { commandHelp } from './help.ts';
import type { globalOptions } from './options/global.ts';
import type { Options, Parsed } from './options/option.ts';
import { parseCommandLine } from './parser.ts';

export type GlobalOptions = Parsed<typeof globalOptions>;

/** Where a command's texts go. */
export interface Output {
  /** Columns that help may take. */
  readonly width: number;
  out(text: string): void;
  /** One line on standard error, without its end. */
  error(line: string): void;
}

export interface Command extends CommandHelp {
  /** Of a group: the commands that it stands for, with the group's name before theirs. */
  readonly commands?: readonly Command[];
  /** Parses the command's own words and carries it out; the exit status of the process. */
  execute(words: readonly string[], globals: GlobalOptions, output: Output): Promise<number>;
}

interface Definition<O extends Options> extends CommandHelp {
  readonly options: O;
  run(
    options: Parsed<O>,
    positionals: readonly string[],
    output: Output,
    globals: GlobalOptions,
  ): Promise<number> | number;
}

/** Makes a command of its declaration and the function that carries it out. */
export function command<const O extends Options>(definition: Definition<O>): Command {
  return {
    ...definition,
    async execute(words, globals, output) {
      const line = parseCommandLine(definition.options, definition.positionals, words);
      if (line.help) {
        output.out(commandHelp(definition, output.width));
        return 0;
      }
      return definition.run(line.options, line.positionals, output, globals);
    },
  };
}
