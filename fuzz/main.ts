/**
 * Runs fuzzers, one after the other:
 *
 *     npm run fuzz -- [--minutes N] [--seed N] [TARGET...] [options of the one target]
 *
 * Without a target all of them share the time, 2 minutes if it is not given. Ends with status 1 if one found something.
 * Each runs as a process of its own: one that takes its process with it is noticed.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { hostMissing } from '../e2e/differential/host.ts';
import { HOSTILE_FORMATS } from '../e2e/disk/hostile-image.ts';

interface FuzzTarget {
  /** The program and its first arguments. */
  readonly program: readonly [string, ...string[]];
  /** Why it cannot run here. */
  readonly missing: () => string | false;
}

const always = () => false as const;
const images = HOSTILE_FORMATS.map((format): [string, FuzzTarget] => [
  format,
  { program: ['image.ts', format], missing: always },
]);
const TARGETS: Readonly<Record<string, FuzzTarget>> = {
  cpu: { program: ['cpu.ts'], missing: hostMissing },
  fuse: { program: ['file-server.ts', 'fuse'], missing: always },
  guest: { program: ['guest.ts'], missing: always },
  virtio: { program: ['virtio.ts'], missing: always },
  p9: { program: ['file-server.ts', 'p9'], missing: always },
  ...Object.fromEntries(images),
};

const isTarget = (word: string) => Object.hasOwn(TARGETS, word);

function usage(message: string): never {
  console.error(`fuzz: ${message}; targets are ${Object.keys(TARGETS).join(', ')}`);
  process.exit(2);
}

/** Takes the option `name` and its value out of `words`. */
function take(words: string[], name: string): string | undefined {
  const at = words.indexOf(name);
  if (at < 0) return undefined;
  const [, value] = words.splice(at, 2);
  if (value === undefined || !(Number(value) >= 0)) usage(`${name} needs a number`);
  return value;
}

/** Whether the target found nothing. */
function run(name: string, words: readonly string[]): boolean {
  const { program, missing } = TARGETS[name]!;
  const reason = missing();
  console.log(`== ${name}${reason === false ? '' : `: skipped, ${reason}`}`);
  if (reason !== false) return true;
  const [file, ...first] = program;
  const path = fileURLToPath(new URL(file, import.meta.url));
  const { status, signal } = spawnSync(process.execPath, [path, ...first, ...words], { stdio: 'inherit' });
  if (signal !== null) console.error(`fuzz: ${name} was ended by ${signal}`);
  return status === 0;
}

const words = process.argv.slice(2);
const minutes = take(words, '--minutes');
const seed = take(words, '--seed');
const chosen = words.filter(isTarget);
const rest = words.filter((word) => !isTarget(word));
if (rest.length > 0 && chosen.length !== 1) usage(`${rest[0]} is neither a target nor an option of the one target`);
const targets = chosen.length > 0 ? chosen : Object.keys(TARGETS);
const common = [
  '--minutes',
  String(Number(minutes ?? 2) / targets.length),
  ...(seed === undefined ? [] : ['--seed', seed]),
];
const clean = targets.map((name) => run(name, [...common, ...rest]));
process.exitCode = clean.every((found) => found) ? 0 : 1;
