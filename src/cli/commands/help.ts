import { CrosvmError } from '../../errors.ts';
import { type Command, command } from '../command.ts';
import { helpFor } from '../command-group.ts';
import { programHelp } from '../help.ts';
import { suggestion } from '../nearest.ts';
import { globalOptions } from '../options/global.ts';

/** The command named `name`. Throws `E_USAGE` if there is none. */
export function findCommand(commands: readonly Command[], name: string): Command {
  const found = commands.find((c) => c.name === name);
  if (found !== undefined) return found;
  const names = commands.map((c) => c.name);
  throw new CrosvmError('E_USAGE', `unknown command ${JSON.stringify(name)}${suggestion(name, names)}`);
}

/** `help`, about itself and `others`. */
export function help(others: readonly Command[]): Command {
  const self: Command = command({
    name: 'help',
    summary: 'Explain the program or one command.',
    description: 'Explains the program, or one of its commands.',
    options: {},
    positionals: [
      { name: 'COMMAND', help: 'The command to explain, and its own command.', required: false, repeated: true },
    ],
    examples: [],
    run(_options, [name, word], output) {
      const all = [...others, self];
      if (name === undefined) output.out(programHelp(all, globalOptions, output.width));
      else output.out(helpFor(findCommand(all, name), word, output.width));
      return 0;
    },
  });
  return self;
}
