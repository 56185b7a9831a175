import { readFile } from 'node:fs/promises';
import { command } from '../command.ts';

export const version = command({
  name: 'version',
  summary: 'Print the version.',
  description: 'Prints the version of this program.',
  options: {},
  positionals: [],
  examples: [],
  async run(_options, _positionals, output) {
    const manifest = await readFile(new URL('../../../package.json', import.meta.url), 'utf8');
    output.out(`crosvm ${(JSON.parse(manifest) as { version: string }).version}\n`);
    return 0;
  },
});
