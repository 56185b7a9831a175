/**
 * From a guest's doorbell to its interrupt, on the software CPU: `node bench/interrupts.ts [--rounds N]`. The guest rings,
 * halts, and rings again when the interrupt has come; another thread answers each doorbell as a device process does, with
 * epoll_wait(2), a read and a write. What a doorbell alone costs the vCPU is measured with nobody who waits for it.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { WaitContext } from '../src/base/epoll.ts';
import { EventFd } from '../src/base/event-fd.ts';
import { Bus } from '../src/devices/bus.ts';
import { SoftVcpu } from '../src/hypervisor/soft/vcpu.ts';
import { SoftVm } from '../src/hypervisor/soft/vm.ts';
import type { SoftVcpuHandle } from '../src/hypervisor/soft/vm-access.ts';
import { machineLine, table } from './report.ts';

const MIB = 1 << 20;
const PAGE = 4096;
const BELL_PORT = 0x50;
const EXIT_PORT = 0x51;
const VECTOR = 0x41;
const START = 0x1000;
const HANDLER = 0x2000;
const MSR_APIC_BASE = 0x1b;
const X2APIC = 0xfee0_0d00n;
const SVR = 0xf0;

/** Real mode. Rings ECX times, and waits for the interrupt each time if `waits`. */
const program = (waits: boolean) =>
  Uint8Array.of(
    ...[0xe6, BELL_PORT], // out %al, $BELL_PORT
    ...(waits ? [0xfb, 0xf4, 0xfa] : [0x90, 0x90, 0x90]), // sti; hlt; cli
    ...[0x66, 0x49, 0x75, 0xf7], // dec %ecx; jnz -9
    ...[0xe6, EXIT_PORT, 0xf4], // out %al, $EXIT_PORT; hlt
  );

/** Ends the interrupt: WRMSR of zero to 0x80b, the EOI register of the x2APIC. */
const HANDLER_CODE = Uint8Array.of(
  ...[0x66, 0x51, 0x66, 0xb9, 0x0b, 0x08, 0, 0], // push %ecx; mov $0x80b, %ecx
  ...[0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30], // xor %eax, %eax; xor %edx, %edx; wrmsr
  ...[0x66, 0x59, 0xcf], // pop %ecx; iret
);

type Job =
  | { readonly kind: 'device'; readonly bell: number; readonly irq: number; readonly stop: number }
  | { readonly kind: 'vcpu'; readonly handle: SoftVcpuHandle; readonly rounds: number };

if (isMainThread) {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20000' } } });
  await measure(Number(values.rounds));
} else {
  const job = workerData as Job;
  if (job.kind === 'device') answer(job.bell, job.irq, job.stop);
  else parentPort!.postMessage(timeRounds(job.handle, job.rounds));
}

function answer(bell: number, irq: number, stop: number): void {
  const context = new WaitContext();
  context.add(bell, bell);
  context.add(stop, stop);
  const [from, to] = [new EventFd(bell), new EventFd(irq)];
  while (context.wait(-1) === 0 || context.token(0) === bell) {
    if (from.clear() > 0) to.signal();
  }
}

async function measure(rounds: number): Promise<void> {
  const bell = EventFd.create();
  const irq = EventFd.create();
  const alone = await run(rounds, false, bell, irq);
  bell.clear();
  const stop = EventFd.create();
  const device = start({ kind: 'device', bell: bell.fd, irq: irq.fd, stop: stop.fd });
  await new Promise((resolve) => device.once('online', resolve));
  const answered = await run(rounds, true, bell, irq);
  stop.signal();
  const row = (what: string, milliseconds: number) => [what, ((milliseconds / rounds) * 1000).toFixed(1)];
  const rows = [row('doorbell that nobody waits for', alone), row('doorbell, device, interrupt', answered)];
  console.log(`${machineLine()}\n\n${table(['what', 'us'], rows)}`);
}

/** Milliseconds that a guest needs for so many rounds. */
async function run(rounds: number, waits: boolean, bell: EventFd, irq: EventFd): Promise<number> {
  const vm = SoftVm.create({ memory: [{ gpa: 0, size: 2 * MIB }], cpus: 1, irqchip: 'kernel' });
  vm.addIoEvent({ space: 'port', address: BELL_PORT, length: 1, fd: bell.fd });
  vm.addIrqfd(irq.fd, 30, { address: 0xfee0_0000, data: VECTOR });
  vm.memory.write(START, program(waits));
  vm.memory.write(HANDLER, HANDLER_CODE);
  vm.memory.setU32(4 * VECTOR, HANDLER);
  const vcpu = start({ kind: 'vcpu', handle: vm.handle(0), rounds });
  const [milliseconds] = (await once(vcpu, 'message')) as [number];
  vm.close();
  return milliseconds;
}

function start(job: Job): Worker {
  return new Worker(new URL(import.meta.url), { workerData: job });
}

/** After a tenth as many to warm up. */
function timeRounds(handle: SoftVcpuHandle, rounds: number): number {
  const vcpu = new SoftVcpu(handle);
  vcpu.setMsrs([{ index: MSR_APIC_BASE, value: X2APIC }]);
  const lapic = vcpu.getLapic();
  lapic[SVR + 1] = 1; // software-enable
  vcpu.setLapic(lapic);
  const ports = new Bus();
  ports.insert({ read: () => {}, write: () => vcpu.vm.kick(0) }, EXIT_PORT, 1);
  const system = vcpu.getSystemRegisters();
  vcpu.setSystemRegisters({ ...system, cs: { ...system.cs, base: 0n, selector: 0 } });
  const registers = vcpu.getRegisters();
  const go = (count: number) => {
    vcpu.setRegisters({ ...registers, rcx: BigInt(count), rip: BigInt(START), rsp: BigInt(START + PAGE), rflags: 2n });
    vcpu.run({ ports, mmio: new Bus() });
  };
  go(Math.ceil(rounds / 10));
  const begin = performance.now();
  go(rounds);
  return performance.now() - begin;
}
