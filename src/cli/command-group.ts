import { CrosvmError } from '../errors.ts';
import type { Command } from './command.ts';
import { findCommand } from './commands/help.ts';
import { commandHelp } from './help.ts';

interface Group {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** Their names have two words, of which the first is the group's: `device block`. */
  readonly members: readonly Command[];
}

/** A command that consists of others: `crosvm device block ...`. */
export function commandGroup(group: Group): Command {
  const help = { ...group, options: {}, positionals: [], examples: [] };
  const { name, members } = group;
  return {
    ...help,
    async execute([word, ...rest], globals, output) {
      if (word === '--help' || word === '-h') {
        output.out(commandHelp(help, output.width));
        return 0;
      }
      if (word === undefined) throw new CrosvmError('E_USAGE', `something is missing; see crosvm ${name} --help`);
      return findCommand(members, `${name} ${word}`).execute(rest, globals, output);
    },
  };
}
