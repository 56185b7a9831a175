import { command } from './command.ts';
import type { Positional } from './parser.ts';

/** Where a command finds the VM that it is about. */
export const SOCKET: Positional = {
  name: 'SOCKET',
  help: 'The path that the VM was given with --socket.',
  required: true,
};

interface ControlCommand {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly request: 'Exit' | 'Suspend' | 'Resume' | 'Powerbtn';
}

/** A command that has a running VM do something that needs no further words. */
export function controlCommand({ request, ...texts }: ControlCommand) {
  return command({
    ...texts,
    options: {},
    positionals: [SOCKET],
    examples: [`crosvm ${texts.name} /run/vm.sock`],
    async run(_options, [socket]) {
      const client = await import('../control/client.ts');
      client.command(socket!, { name: request, payload: undefined });
      return 0;
    },
  });
}
