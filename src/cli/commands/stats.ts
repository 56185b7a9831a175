import { command } from '../command.ts';
import { flag } from '../options/option.ts';

export const stats = command({
  name: 'stats',
  summary: 'Show what the vCPUs of a running VM have done.',
  description:
    'Prints the counters of each vCPU of the VM that listens at a control socket, and their sums: exits by kind and, ' +
    'for the software CPU, instructions, TLB misses, exceptions, decoded code, and what the JIT has made and holds. ' +
    'They count from the start of the VM.',
  options: {
    json: flag({ section: 'Output', help: 'Print JSON.' }),
  },
  positionals: [{ name: 'SOCKET', help: 'The path that the VM was given with --socket.', required: true }],
  examples: ['crosvm stats /run/vm.sock', 'crosvm stats --json /run/vm.sock'],
  async run({ json }, [socket], output) {
    const { readStatistics } = await import('../../control/client.ts');
    const { statisticsJson, statisticsTable } = await import('../statistics.ts');
    const statistics = readStatistics(socket!);
    output.out(json ? statisticsJson(statistics) : statisticsTable(statistics, output.width));
    return 0;
  },
});
