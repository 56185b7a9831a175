import { command } from '../command.ts';
import { SOCKET } from '../control-command.ts';
import { wholeNumber } from '../options/syntax.ts';

export const balloon = command({
  name: 'balloon',
  summary: 'Take memory from a running VM, or give it back.',
  description:
    'Asks the guest of the VM that listens at a control socket to give so many bytes of its memory to the host. The guest ' +
    'does that when it can; "crosvm balloon_stats" tells how far it is.',
  options: {},
  positionals: [{ name: 'SIZE', help: 'Bytes that the host is to have; 0 gives all back.', required: true }, SOCKET],
  examples: ['crosvm balloon 134217728 /run/vm.sock'],
  async run(_options, [size, socket]) {
    const bytes = wholeNumber('SIZE', size!);
    const client = await import('../../control/client.ts');
    client.command(socket!, { name: 'BalloonCommand', payload: { Adjust: { num_bytes: bytes } } });
    return 0;
  },
});
