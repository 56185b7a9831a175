import { flag, valueOr } from './option.ts';
import { choice } from './syntax.ts';

/** Options that may stand before the command, and after it where the command lists them. */
export const globalOptions = {
  extendedStatus: flag({
    section: 'General',
    help: 'Exit with 32 if the guest reset the machine, 33 if it crashed, 34 if its kernel panicked (otherwise 0).',
  }),
  logLevel: valueOr({
    section: 'General',
    syntax: choice('off', 'error', 'warn', 'info', 'debug', 'trace'),
    fallback: 'info',
    help: 'How much to say on standard error.',
  }),
};
