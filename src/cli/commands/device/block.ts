import { CrosvmError } from '../../../errors.ts';
import { diskRequest } from '../../../vm/devices/plan-disk.ts';
import { command } from '../../command.ts';
import { diskSyntax } from '../../options/disk.ts';
import { value } from '../../options/option.ts';
import type { ValueSyntax } from '../../options/syntax.ts';
import { deviceOptions, serveDevice } from './serve.ts';

/** As `diskSyntax`; `PATH:read-only` is an old way to say `PATH,ro`. */
const fileSyntax: ValueSyntax<ReturnType<typeof diskSyntax.parse>> = {
  ...diskSyntax,
  metavar: 'PATH[,KEY=VALUE,...]',
  parse: (text) => diskSyntax.parse(text.replace(/:read-only$/, ',ro')),
};

export const deviceBlock = command({
  name: 'device block',
  summary: 'A disk.',
  description: 'Runs a virtio disk over a disk image or a block device, until its front end goes away.',
  options: {
    blockFile: value({
      section: 'Device',
      aliases: ['file'],
      syntax: fileSyntax,
      help: 'The disk.',
    }),
    ...deviceOptions,
  },
  positionals: [],
  examples: [
    'crosvm device block --socket-path /run/disk.sock --block-file disk.img',
    'crosvm device block --socket-path /run/disk.sock --block-file base.qcow2,ro,id=base',
  ],
  run({ blockFile, ...frontEnd }, _positionals, output) {
    if (blockFile === undefined) throw new CrosvmError('E_USAGE', '--block-file is missing');
    return serveDevice({ kind: 'disk', disk: diskRequest(blockFile) }, frontEnd, output);
  },
});
