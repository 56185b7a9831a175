import { CrosvmError } from '../errors.ts';
import type { Command } from './command.ts';
import { commandHelp, groupHelp } from './help.ts';
import { suggestion } from './nearest.ts';

/** A command whose first argument is one of several commands: `crosvm image info`. */
export function commandGroup(
  group: { readonly name: string; readonly summary: string; readonly description: string },
  commands: readonly Command[],
): Command {
  const names = commands.map(({ name }) => name.slice(group.name.length + 1));
  return {
    ...group,
    options: {},
    positionals: [],
    examples: [],
    commands,
    async execute([word, ...rest], globals, output) {
      if (word === '--help' || word === '-h') {
        output.out(groupHelp({ ...group, commands }, output.width));
        return 0;
      }
      const known = names.join(', ');
      if (word === undefined) throw new CrosvmError('E_USAGE', `one of ${known} is missing`);
      const found = commands[names.indexOf(word)];
      if (found !== undefined) return found.execute(rest, globals, output);
      throw new CrosvmError('E_USAGE', `${JSON.stringify(word)} is none of ${known}${suggestion(word, names)}`);
    },
  };
}

/** Help for a command or, of a group, for the group or its command `word`. */
export function helpFor(command: Command, word: string | undefined, width: number): string {
  const { commands } = command;
  if (commands === undefined) return commandHelp(command, width);
  const found = commands.find(({ name }) => name === `${command.name} ${word}`);
  return found === undefined ? groupHelp({ ...command, commands }, width) : commandHelp(found, width);
}
