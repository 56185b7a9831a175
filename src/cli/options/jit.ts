import { choice, integer, path, type ValueSyntax } from './syntax.ts';

/** When the software CPU compiles code: what it finds worthwhile, nothing, or what was executed this often. */
export type JitOption = 'auto' | 'off' | number;

/** Where the software CPU keeps what it has compiled: a folder, that of the user's cache, or nowhere. */
export type JitCacheOption = 'auto' | 'off' | { readonly folder: string };

/** The JIT multiplies it for code that keeps changing, and its counters have 32 bits. */
export const MAX_JIT_THRESHOLD = 1_000_000;

const words = choice('auto', 'off');
const folder = path();
const executions = integer({ min: 0, max: MAX_JIT_THRESHOLD });

/** `auto`, `off`, or a number of executions. */
export const jitSyntax: ValueSyntax<JitOption> = {
  metavar: 'auto|off|N',
  keys: [
    { usage: 'auto', help: 'What is executed often.' },
    { usage: 'off', help: 'Nothing: all code is interpreted.' },
    { usage: 'N', help: `What was executed N times, 0 to ${MAX_JIT_THRESHOLD}; 0 compiles all code.` },
  ],
  parse: (text) => (/^\d/.test(text) ? executions : words).parse(text),
};

/** `auto`, `off`, or a folder. */
export const jitCacheSyntax: ValueSyntax<JitCacheOption> = {
  metavar: 'auto|off|FOLDER',
  keys: [
    { usage: 'auto', help: 'In crosvm/jit in the cache folder of the user ($XDG_CACHE_HOME or ~/.cache).' },
    { usage: 'off', help: 'Not at all.' },
    { usage: 'FOLDER', help: 'In this folder, which is made if need be; it must belong to the user.' },
  ],
  parse: (text) => (text === 'auto' || text === 'off' ? text : { folder: folder.parse(text) }),
};
