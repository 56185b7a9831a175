import { command } from '../command.ts';
import { commandGroup } from '../command-group.ts';
import { SOCKET } from '../control-command.ts';
import { wholeNumber } from '../options/syntax.ts';

const diskResize = command({
  name: 'disk resize',
  summary: 'Give a disk another size.',
  description: 'Gives a disk of the VM that listens at a control socket another size. The guest notices by itself.',
  options: {},
  positionals: [
    { name: 'INDEX', help: "The disk's number: 0 for the first one in the order of the VM's options.", required: true },
    { name: 'SIZE', help: 'The new size in bytes.', required: true },
    SOCKET,
  ],
  examples: ['crosvm disk resize 0 10737418240 /run/vm.sock'],
  async run(_options, [index, size, socket]) {
    const payload = {
      disk_index: wholeNumber('INDEX', index!),
      command: { Resize: { new_size: wholeNumber('SIZE', size!) } },
    };
    const client = await import('../../control/client.ts');
    client.command(socket!, { name: 'DiskCommand', payload });
    return 0;
  },
});

export const disk = commandGroup(
  {
    name: 'disk',
    summary: 'Change disks of a running VM.',
    description: 'Changes disks of a running VM.',
  },
  [diskResize],
);
