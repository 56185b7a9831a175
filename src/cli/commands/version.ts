import { command } from '../command.ts';

export const version = command({
  name: 'version',
  summary: 'Print the version.',
  description: 'Prints the version of this program.',
  options: {},
  positionals: [],
  examples: [],
  async run(_options, _positionals, output) {
    // Not read as a file: in a bundle it would lie elsewhere.
    const { default: manifest } = await import('../../../package.json', { with: { type: 'json' } });
    output.out(`crosvm ${manifest.version}
`);
    return 0;
  },
});
