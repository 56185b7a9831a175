import { command } from '../../command.ts';
import { frontEndOptions } from '../../options/front-end.ts';
import { serveDevice } from './serve.ts';

export const deviceRng = command({
  name: 'device rng',
  summary: 'An entropy device.',
  description: 'Runs an entropy device, which gives a guest random bytes of the host, until its front end goes away.',
  options: frontEndOptions,
  positionals: [],
  examples: ['crosvm device rng --socket-path /run/rng.sock'],
  run: (options, _positionals, output) => serveDevice({ type: 'rng' }, options, output),
});
