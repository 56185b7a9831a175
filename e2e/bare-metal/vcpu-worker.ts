/** The thread of one vCPU: does what the test asks for by message. */
import { parentPort } from 'node:worker_threads';
import { Bus, type BusDevice } from '../../src/devices/bus.ts';
import type { Hypervisor, Vcpu, VcpuBuses } from '../../src/hypervisor/hypervisor.ts';
import { EXIT_PORT, MARK_PORT } from './prelude.ts';
import type { Attach, Call, Reply, RunOptions, RunResult } from './vcpu-thread.ts';

const port = parentPort!;
let vcpu: Vcpu | undefined;

/** What the guest did on its buses, in words such as `port write 80.2 1234` (address, width, value; in hex). */
class Recorder {
  readonly accesses: string[] = [];
  code: number | undefined;
  #reads = 0;

  device(space: 'port' | 'mmio'): BusDevice {
    return {
      read: (address, data) => {
        // Every read sees other bytes: 11 12 13 ..., then 22 23 24 ..., so that none can be mixed up.
        this.#reads++;
        for (let i = 0; i < data.length; i++) data[i] = 0x11 * this.#reads + i;
        this.accesses.push(`${space} read ${address.toString(16)}.${data.length}`);
      },
      write: (address, data) => {
        if (space === 'port' && address === EXIT_PORT) return this.#exit(data[0]!);
        if (space === 'port' && address === MARK_PORT) return port.postMessage({ mark: data[0]! } satisfies Reply);
        const value = [...data].reverse().map((byte) => byte.toString(16).padStart(2, '0'));
        this.accesses.push(`${space} write ${address.toString(16)}.${data.length} ${value.join('')}`);
      },
    };
  }

  #exit(code: number): void {
    this.code = code;
    vcpu!.vm.kick(vcpu!.id);
  }
}

function run(options: RunOptions): RunResult {
  const recorder = new Recorder();
  const ports = new Bus();
  ports.insert(recorder.device('port'), 0, 0x1_0000);
  const mmio = new Bus();
  mmio.insert(recorder.device('mmio'), 0, 2 ** 48);
  const pending = [...(options.externalInterrupts ?? [])];
  const buses: VcpuBuses = {
    ports,
    mmio,
    endOfInterrupt: (vector) => recorder.accesses.push(`eoi ${vector.toString(16)}`),
    externalInterrupt: { pending: () => pending.length > 0, acknowledge: () => pending.shift()! },
  };
  const exit = vcpu!.run(options.externalInterrupts === undefined ? withoutPic(buses) : buses);
  return { exit, code: recorder.code, accesses: recorder.accesses };
}

function withoutPic({ externalInterrupt: _, ...rest }: VcpuBuses): VcpuBuses {
  return rest;
}

async function attach({ module, factory, handle }: Attach): Promise<void> {
  vcpu?.close();
  const exports = (await import(module)) as Record<string, () => Hypervisor>;
  vcpu = exports[factory]!().attachVcpu(handle);
}

async function answer({ method, args }: Call): Promise<unknown> {
  if (method === 'attach') return attach(args[0] as Attach);
  if (method === 'run') return run(args[0] as RunOptions);
  const target = vcpu as unknown as Record<string, (...args: unknown[]) => unknown>;
  return target[method]!(...args);
}

port.on('message', (call: Call) => {
  answer(call).then(
    (result) => port.postMessage({ result } satisfies Reply),
    (error: unknown) => port.postMessage({ error: error instanceof Error ? error : new Error(String(error)) }),
  );
});
