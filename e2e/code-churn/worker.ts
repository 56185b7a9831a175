/** The thread of a vCPU whose guest produces new code for ever. Reports what that costs the process. */
import { readFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import { Bus } from '../../src/devices/bus.ts';
import { CPU } from '../../src/hypervisor/soft/state.ts';
import { SoftVcpu } from '../../src/hypervisor/soft/vcpu.ts';
import { SoftVm } from '../../src/hypervisor/soft/vm.ts';
import type { SoftVcpuStatistics } from '../../src/hypervisor/statistics.ts';
import { registersAtOrigin, systemRegistersFor } from '../bare-metal/machine-state.ts';
import { EXIT_PORT, ORIGIN } from '../bare-metal/prelude.ts';
import { AREA, AREA_SIZE, churnGuest } from './guest.ts';

export interface Churn {
  readonly functions: number;
  readonly jitThreshold: number;
  /** Instructions between two looks of the vCPU, which end with a compilation of what has waited. */
  readonly budget: number;
}

export interface Sample {
  readonly jit: SoftVcpuStatistics['jit'];
  readonly blocks: number;
  /** Of the whole process: mappings, and bytes of memory. */
  readonly mappings: number;
  readonly rss: number;
  /** Longest pause of this thread's garbage collector since the sample before, in milliseconds. */
  readonly longestPause: number;
}

export interface ChurnReport {
  readonly samples: readonly Sample[];
  /** What the guest computed. */
  readonly sum: number;
}

const MIB = 1 << 20;
/** Instructions between two samples. */
const SAMPLE_EVERY = 2_000_000;

class ChurnVcpu extends SoftVcpu {
  budget = 0;
  nextSample = SAMPLE_EVERY;

  override nextBudget(): number {
    const executed = this.state.counter(CPU.instructions);
    if (executed >= this.nextSample) {
      this.nextSample = executed + SAMPLE_EVERY;
      this.vm.kick(0);
    }
    return this.budget;
  }
}

async function run({ functions, jitThreshold, budget }: Churn): Promise<ChurnReport> {
  const vm = SoftVm.create({
    memory: [{ gpa: 0, size: AREA + AREA_SIZE + MIB }],
    cpus: 1,
    irqchip: 'kernel',
    soft: { jitThreshold },
  });
  const vcpu = new ChurnVcpu(vm.handle(0));
  vcpu.budget = budget;
  vm.memory.write(ORIGIN, churnGuest(functions));
  vcpu.setSystemRegisters(systemRegistersFor('protected', vcpu.getSystemRegisters()));
  vcpu.setRegisters(registersAtOrigin());

  let sum: number | undefined;
  let exited = false;
  const ports = new Bus();
  const read = (_: number, data: Uint8Array) => data.fill(0xff);
  ports.insert(
    { read, write: (_, data) => (sum = new DataView(data.buffer, data.byteOffset).getUint32(0, true)) },
    0x80,
    1,
  );
  const exit = () => {
    exited = true;
    vm.kick(0);
  };
  ports.insert({ read, write: exit }, EXIT_PORT, 1);
  const buses = { ports, mmio: new Bus() };

  let longestPause = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longestPause = Math.max(longestPause, duration);
  });
  observer.observe({ entryTypes: ['gc'] });
  const samples: Sample[] = [];
  while (!exited) {
    const { reason } = vcpu.run(buses);
    if (reason !== 'kicked') throw new Error(`the guest ended: ${reason}`);
    // The observer is told in turns of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 1));
    const { jit, code } = vm.statistics(0);
    const mappings = readFileSync('/proc/self/maps', 'latin1').split('\n').length - 1;
    samples.push({ jit, blocks: code.blocks, mappings, rss: process.memoryUsage.rss(), longestPause });
    longestPause = 0;
  }
  observer.disconnect();
  vm.close();
  if (sum === undefined) throw new Error('the guest has no result');
  return { samples, sum };
}

parentPort!.postMessage(await run(workerData as Churn));
