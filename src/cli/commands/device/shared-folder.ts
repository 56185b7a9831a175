import { CrosvmError } from '../../../errors.ts';
import { sharedFolderSpec } from '../../../vm/devices/plan-shared-dir.ts';
import { command } from '../../command.ts';
import { value } from '../../options/option.ts';
import { sharedDirSyntax } from '../../options/shared-dir.ts';
import { path, text } from '../../options/syntax.ts';
import { deviceOptions, serveDevice } from './serve.ts';

/** The original has commas between keys here. */
const COMMA_BEFORE_KEY = /,(?=ro\b|[a-z_-]+=)/g;

/** `crosvm device fs` and `device p9`: a folder of the host by one of two protocols. `protocol` is what people call it. */
export function sharedFolderCommand(type: 'fs' | 'p9', protocol: string, example: string) {
  return command({
    name: `device ${type}`,
    summary: `A folder of the host, by ${protocol}.`,
    description: `Shares a folder of the host by ${protocol}, until its front end goes away.`,
    options: {
      sharedDir: value({
        section: 'Device',
        syntax: path(),
        help: 'The folder.',
      }),
      tag: value({ section: 'Device', syntax: text('TAG'), help: 'By what name the guest mounts it.' }),
      cfg: value({
        section: 'Device',
        syntax: text('KEY=VALUE[:...]'),
        help: 'How it is shared: keys of --shared-dir of "crosvm run", but type; commas between them will do, too.',
      }),
      ...deviceOptions,
    },
    positionals: [],
    examples: [`crosvm device ${type} --socket-path /run/${type}.sock --tag home --shared-dir /home/me ${example}`],
    async run({ sharedDir, tag, cfg, ...frontEnd }, _positionals, output) {
      if (sharedDir === undefined) throw new CrosvmError('E_USAGE', '--shared-dir is missing');
      if (tag === undefined) throw new CrosvmError('E_USAGE', '--tag is missing');
      const keys = cfg === undefined ? '' : `:${cfg.replaceAll(COMMA_BEFORE_KEY, ':')}`;
      const option = sharedDirSyntax.parse(`.:tag:type=${type}${keys}`);
      const spec = sharedFolderSpec({ ...option, path: sharedDir, tag });
      // Now, not only when a front end has come.
      const { mustBeFolder } = await import('../../../device-process/share-folder.ts');
      mustBeFolder(sharedDir);
      return await serveDevice({ kind: 'plain', spec }, frontEnd, output);
    },
  });
}
