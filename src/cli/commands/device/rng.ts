import { command } from '../../command.ts';
import { deviceOptions, serveDevice } from './serve.ts';

export const deviceRng = command({
  name: 'device rng',
  summary: 'An entropy device.',
  description: 'Runs an entropy device, which gives a guest random bytes of the host, until its front end goes away.',
  options: deviceOptions,
  positionals: [],
  examples: ['crosvm device rng --socket-path /run/rng.sock'],
  run: (options, _positionals, output) => serveDevice({ kind: 'plain', spec: { type: 'rng' } }, options, output),
});
