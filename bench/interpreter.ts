/**
 * Guest instructions per second of the software CPU over a boot to /init: `node bench/interpreter.ts [--runs N]`. Runs the
 * VM in this process, where the vCPU's own counter can be read.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { blockOf } from '../src/hypervisor/soft/layout.ts';
import { CPU } from '../src/hypervisor/soft/state.ts';
import type { SoftVcpuHandle } from '../src/hypervisor/soft/vm-access.ts';
import { buildVm } from '../src/vm/builder.ts';
import { completeConfig } from '../src/vm/config.ts';
import { chooseHypervisor } from '../src/vm/hypervisors.ts';
import { RunState } from '../src/vm/run-state.ts';
import { RunningVm } from '../src/vm/running-vm.ts';
import { resolveSerialPorts } from '../src/vm/serial-ports.ts';
import { VcpuThreads } from '../src/vm/vcpu-threads.ts';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { GUEST_IS_UP } from '../tools/initramfs.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { machineLine, spread, table } from './report.ts';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' } } });
const runs = Number(values.runs);
const POLL_MS = 10;

interface Result {
  readonly instructions: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

const kernel = await vmlinuxOf(await fetchKernel(CLOUD_KERNEL_6_12));
const initrd = await guestInitramfs({ kind: 'commands', commands: [] });
const header = machineLine();
const rows: string[][] = [];
for (const params of [['cryptomgr.notests'], []]) {
  const results: Result[] = [];
  for (let run = 0; run < runs; run++) {
    console.error(`vmlinux ${params.join(' ')}: ${run + 1} of ${runs}`);
    results.push(await bootOnce(params));
  }
  rows.push([
    ['vmlinux', ...params].join(', '),
    spread(
      results.map((r) => r.instructions / 1e6),
      0,
    ),
    spread(results.map((r) => r.seconds)),
    spread(
      results.map((r) => r.instructions / r.seconds / 1e6),
      1,
    ),
    spread(
      results.map((r) => r.instructions / r.cpuSeconds / 1e6),
      1,
    ),
  ]);
}
console.log(`${header}; runs: ${runs}\n`);
console.log(table(['guest', 'million instructions', 'wall s', 'million/s', 'million/CPU s'], rows));

/** Counts from the moment when the guest is let go, with a new thread that has compiled nothing yet. */
async function bootOnce(params: readonly string[]): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-bench-'));
  try {
    const path = join(folder, 'console');
    const { vm, instructions } = await create(path, params);
    const start = performance.now();
    const startUsage = process.cpuUsage();
    await vm.start();
    while (!readFileSync(path, 'latin1').includes(GUEST_IS_UP)) await delay(POLL_MS);
    const usage = process.cpuUsage(startUsage);
    const result = {
      instructions: instructions(),
      seconds: (performance.now() - start) / 1000,
      cpuSeconds: (usage.user + usage.system) / 1e6,
    };
    vm.stop();
    await vm.ended;
    return result;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function create(path: string, params: readonly string[]) {
  const hypervisor = { kind: 'soft', device: undefined } as const;
  const choice = chooseHypervisor(hypervisor);
  const console = { type: 'file', hardware: 'serial', num: 1, name: undefined, path, input: undefined } as const;
  const serial = [{ ...console, console: true, earlycon: false, stdin: false }];
  const config = completeConfig({ hypervisor, serial, initrd, kernel, params });
  const runState = new RunState();
  const log = () => {};
  using resources = new DisposableStack();
  const threads = new VcpuThreads(choice, config.cpus);
  const built = await buildVm(config, choice, resolveSerialPorts(serial), runState, resources);
  const { memory } = (built.starts[0]!.handle as SoftVcpuHandle).vm.machine;
  const counter = new Float64Array(memory.buffer, blockOf(0) + CPU.instructions, 1);
  const vm = new RunningVm({ ...built, threads, runState, log, resources: resources.move() });
  return { vm, instructions: () => counter[0]! };
}
