import { CrosvmError } from '../../errors.ts';
import { command } from '../command.ts';

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A partition as the command line names it. */
export interface PartitionWord {
  readonly label: string;
  readonly path: string;
  readonly writable: boolean;
  readonly efi: boolean;
  readonly guid: string | undefined;
}

export const createComposite = command({
  name: 'create_composite',
  summary: 'Make one disk with partitions out of several images.',
  description:
    'Makes a composite disk: a file that lists images, which together look like a disk with a GUID partition table. The ' +
    'images stay where they are. Beside PATH it makes PATH.header, PATH.footer and PATH.filler.',
  options: {},
  positionals: [
    { name: 'PATH', help: 'The composite disk; there must be no such file yet.', required: true },
    {
      name: 'LABEL:IMAGE[:writable][:efi][:GUID]',
      help:
        'A partition: its label and its image, and then, in any order, whether the VM may write to it, that it is an EFI ' +
        'system partition, and its GUID.',
      required: true,
      repeated: true,
    },
  ],
  examples: ['crosvm create_composite disk.img boot:boot.img rootfs:root.qcow2:writable'],
  async run(_options, [path, ...words]) {
    const { makeComposite } = await import('../composite.ts');
    await makeComposite(path!, words.map(parsePartition));
    return 0;
  },
});

/** Parses LABEL:IMAGE and what may follow. Throws `E_USAGE`. */
function parsePartition(word: string): PartitionWord {
  const [label = '', path = '', ...flags] = word.split(':');
  const usage = (message: string) => new CrosvmError('E_USAGE', `${JSON.stringify(word)}: ${message}`);
  if (label === '' || path === '') throw usage('LABEL:IMAGE expected');
  const guids = flags.filter((flag) => GUID.test(flag));
  const unknown = flags.find((flag) => flag !== 'writable' && flag !== 'efi' && !GUID.test(flag));
  if (unknown !== undefined) throw usage(`${JSON.stringify(unknown)} is neither writable, efi nor a GUID`);
  if (guids.length > 1) throw usage('two GUIDs');
  return {
    label,
    path,
    writable: flags.includes('writable'),
    efi: flags.includes('efi'),
    guid: guids[0]?.toLowerCase(),
  };
}
