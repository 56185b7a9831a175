/**
 * Boots a kernel on the software CPU beside QEMU, instruction by instruction, and prints where they first differ.
 *
 *     node tools/lockstep.ts [--steps N] [--stride N] [--from N] [--mem MIB] [--params "..."] [--initrd FILE] [--vectors] [--memory-every N] [--resync] KERNEL
 */
import { parseArgs } from 'node:util';
import { openKernelFile } from '../src/base/kernel-file.ts';
import { platformUnpackers } from '../src/base/zlib.ts';
import { type Divergence, Lockstep } from './lockstep/lockstep.ts';
import { hasQemu, QEMU } from './lockstep/qemu.ts';

const { values, positionals } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000000' },
    stride: { type: 'string', default: '200' },
    from: { type: 'string' },
    mem: { type: 'string', default: '128' },
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

const files = [kernel, ...(values.initrd === undefined ? [] : [values.initrd])].map((path) => openKernelFile(path));
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
const options = { vectors: values.vectors, memoryEvery: Number(values['memory-every']), stride: Number(values.stride) };
process.exitCode = await compare(values.from === undefined ? undefined : Number(values.from));

/** Finds the first divergence; where a stride has it, once more with small steps through that. */
async function compare(from: number | undefined): Promise<number> {
  const found = await firstDivergence(from);
  if (found === undefined || found.first === found.step || values.resync) return found === undefined ? 0 : 1;
  console.log(`once more, alone from instruction ${found.first} on:`);
  return compare(found.first);
}

async function firstDivergence(from: number | undefined): Promise<Divergence | undefined> {
  using lockstep = await Lockstep.start(guest, from === undefined ? options : { ...options, from });
  return run(lockstep, Number(values.steps));
}

function run(lockstep: Lockstep, steps: number): Divergence | undefined {
  const start = performance.now();
  lockstep.software.print = (text) => process.stdout.write(text);
  let divergences = 0;
  let first: Divergence | undefined;
  while (lockstep.steps < steps && lockstep.software.ended === undefined) {
    const divergence = lockstep.step();
    if (divergence === undefined) continue;
    divergences++;
    first ??= divergence;
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
  return first;
}

function print({ first, step, text, differences, history }: Divergence): void {
  const place = first === step ? `at instruction ${step}` : `between instructions ${first} and ${step}`;
  console.log(`divergence ${place}:`);
  for (const line of history) console.log(`    ${line}`);
  console.log(`  > ${text}`);
  for (const line of differences) console.log(`    ${line}`);
}

function fail(message: string): never {
  console.error(`lockstep: ${message}`);
  process.exit(2);
}
