import { command } from '../command.ts';

export const stop = command({
  name: 'stop',
  summary: 'Stop a running VM.',
  description: 'Stops the VM that listens at a control socket, as if its power had been cut.',
  options: {},
  positionals: [{ name: 'SOCKET', help: 'The path that the VM was given with --socket.', required: true }],
  examples: ['crosvm stop /run/vm.sock'],
  async run(_options, [socket]) {
    const { stopVm } = await import('../../control/client.ts');
    stopVm(socket!);
    return 0;
  },
});
