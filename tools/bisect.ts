/**
 * Boots a kernel twice on the software CPU, deterministically, and prints the first instruction whose result is not the
 * same: on the interpreter (a), and with the JIT, or with code cut into other blocks (b).
 *
 *     node tools/bisect.ts [--jit N|off] [--block N] [--every N] [--until N] [--seed N] [--mem MIB] [--params "..."]
 *         [--initrd FILE] KERNEL
 *
 * b compiles blocks that were executed N times (--jit; by default as the JIT does), and its blocks have at most N
 * instructions (--block). The states are compared each N instructions (--every), up to N of them (--until).
 */

import { parseArgs } from 'node:util';
import { serialSyntax } from '../src/cli/options/serial.ts';
import { completeConfig } from '../src/vm/config.ts';
import { bisect, type Divergence } from './bisect/bisect.ts';

const { values, positionals } = parseArgs({
  options: {
    jit: { type: 'string' },
    block: { type: 'string' },
    every: { type: 'string', default: '20000000' },
    until: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '0' },
    mem: { type: 'string', default: '128' },
    params: { type: 'string', default: 'panic=-1 cryptomgr.notests' },
    initrd: { type: 'string' },
  },
  allowPositionals: true,
});

const config = completeConfig({
  kernel: positionals[0],
  initrd: values.initrd,
  mem: number('mem'),
  params: [values.params],
  deterministic: number('seed'),
  serial: [serialSyntax.parse('type=sink,console')],
});
const divergence = await bisect(config, {
  a: { soft: { jitThreshold: Number.POSITIVE_INFINITY } },
  b: {
    soft: { jitThreshold: values.jit === 'off' ? Number.POSITIVE_INFINITY : maybe('jit'), blockLength: maybe('block') },
  },
  every: number('every'),
  until: number('until'),
  progress: (text) => console.log(text),
});
if (divergence !== undefined) print(divergence);
process.exitCode = divergence === undefined ? 0 : 1;

function maybe(name: 'jit' | 'block'): number | undefined {
  return values[name] === undefined ? undefined : number(name);
}

function number(name: 'jit' | 'block' | 'every' | 'until' | 'seed' | 'mem'): number {
  const value = Number(values[name]);
  if (value >= (name === 'seed' || name === 'jit' ? 0 : 1)) return value;
  console.error(`bisect: --${name} ${values[name]} is no number that makes sense`);
  return process.exit(2);
}

function print({ same, different, instructions, trace, instruction, suspects, differences }: Divergence): void {
  console.log(
    `\nthe state is the same after ${instructions} instructions (time ${same}), and not at time ${different}`,
  );
  for (const line of trace) console.log(line === instruction ? `> ${line}` : `  ${line}`);
  for (const { what, instruction: last } of suspects) {
    console.log(`${what}; ${last === undefined ? 'a does not change it' : `a changes it last by ${last}`}`);
  }
  for (const { name } of differences.pages) console.log(`the page at ${name} differs`);
  for (const line of differences.others) console.log(line);
}
