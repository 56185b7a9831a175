import { CrosvmError } from '../../errors.ts';
import { type Parsed, value } from './option.ts';
import { integer, path } from './syntax.ts';

/** Where a back end that runs by itself meets its front end. */
export const frontEndOptions = {
  socketPath: value({
    section: 'Front end',
    aliases: ['socket'],
    syntax: path(),
    help: 'Listen for the front end at this path. The first who connects is served.',
  }),
  fd: value({
    section: 'Front end',
    syntax: integer({ min: 0, max: 2 ** 31 - 1, metavar: 'N' }),
    help: 'The front end is at the other end of this open descriptor, a unix stream socket.',
  }),
};

/** Exactly one of the two. Throws `E_USAGE`. */
export function frontEndPlace(given: Parsed<typeof frontEndOptions>): { socketPath: string } | { fd: number } {
  const { socketPath, fd } = given;
  if (socketPath !== undefined && fd === undefined) return { socketPath };
  if (socketPath === undefined && fd !== undefined) return { fd };
  throw new CrosvmError('E_USAGE', 'give either --socket-path or --fd, where the front end is');
}
