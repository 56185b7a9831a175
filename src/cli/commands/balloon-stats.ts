import { command } from '../command.ts';
import { SOCKET } from '../control-command.ts';

export const balloonStats = command({
  name: 'balloon_stats',
  summary: 'Show what a guest says of its memory.',
  description:
    'Prints, as JSON, what the guest of the VM that listens at a control socket says of its memory, and how many bytes of ' +
    'it the balloon has taken.',
  options: {},
  positionals: [SOCKET],
  examples: ['crosvm balloon_stats /run/vm.sock'],
  async run(_options, [socket], output) {
    const { readBalloonStats } = await import('../../control/client.ts');
    output.out(`${JSON.stringify({ BalloonStats: readBalloonStats(socket!) }, undefined, 2)}\n`);
    return 0;
  },
});
