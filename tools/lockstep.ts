/**
 * Boots a kernel on the software CPU beside QEMU, instruction by instruction, and prints where they first differ.
 *
 *     node tools/lockstep.ts [--steps N] [--mem MIB] [--params "..."] [--initrd FILE] [--vectors] [--memory-every N] [--resync] KERNEL
 */
import { parseArgs } from 'node:util';
import { openKernelFile } from '../src/base/kernel-file.ts';
import { platformUnpackers } from '../src/base/zlib.ts';
import { type Divergence, Lockstep } from './lockstep/lockstep.ts';
import { hasQemu, QEMU } from './lockstep/qemu.ts';

const { values, positionals } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000000' },
    mem: { type: 'string', default: '64' },
    params: { type: 'string', default: 'console=ttyS0 earlycon=uart8250,io,0x3f8 panic=-1 cryptomgr.notests' },
    initrd: { type: 'string' },
    vectors: { type: 'boolean', default: false },
    'memory-every': { type: 'string', default: '0' },
    resync: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const kernel = positionals[0];
if (kernel === undefined) fail('a kernel is needed');
if (!hasQemu()) fail(`${QEMU} is needed`);

const files = [kernel, ...(values.initrd === undefined ? [] : [values.initrd])].map(openKernelFile);
const guest = {
  boot: {
    kind: 'kernel',
    kernel: files[0]!,
    unpack: platformUnpackers,
    ...(files[1] !== undefined && { initrd: files[1] }),
  },
  commandLine: values.params,
  memory: Number(values.mem),
} as const;
using lockstep = await Lockstep.start(guest, {
  vectors: values.vectors,
  memoryEvery: Number(values['memory-every']),
});
process.exitCode = run(lockstep, Number(values.steps));

function run(lockstep: Lockstep, steps: number): number {
  const start = performance.now();
  let divergences = 0;
  while (lockstep.steps < steps && lockstep.software.ended === undefined) {
    const t = performance.now(); const divergence = lockstep.step(); if (performance.now()-t > 50) console.error('slow', lockstep.steps, performance.now()-t, lockstep.where());
    if (lockstep.steps % 5000 === 0) console.error(lockstep.steps, lockstep.where());
    if (divergence === undefined) continue;
    divergences++;
    print(divergence);
    if (!values.resync || !lockstep.resync()) break;
  }
  const seconds = (performance.now() - start) / 1000;
  const { interrupts, devices, own } = lockstep.taken;
  console.log(
    `${lockstep.steps} instructions (${Math.round(lockstep.steps / seconds)} a second), ${divergences} divergences; ` +
      `taken over: ${interrupts} interrupts, ${devices} device reads, ${own} other instructions`,
  );
  if (lockstep.software.ended !== undefined) console.log(`the guest has ended: ${lockstep.software.ended}`);
  if (lockstep.software.console !== '') console.log(lockstep.software.console);
  return divergences > 0 ? 1 : 0;
}

function print({ step, text, differences, history }: Divergence): void {
  console.log(`divergence at instruction ${step}:`);
  for (const line of history) console.log(`    ${line}`);
  console.log(`  > ${text}`);
  for (const line of differences) console.log(`    ${line}`);
}

function fail(message: string): never {
  console.error(`lockstep: ${message}`);
  process.exit(2);
}
