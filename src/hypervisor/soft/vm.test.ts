import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { EventFd } from '../../base/event-fd.ts';
import { close } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { Bus } from '../../devices/bus.ts';
import type { IoEvent, VmOptions } from '../hypervisor.ts';
import { SoftVcpu } from './vcpu.ts';
import { SoftVm } from './vm.ts';

const MIB = 1 << 20;
const create = (more: Partial<VmOptions> = {}) =>
  SoftVm.create({ memory: [{ gpa: 0, size: 2 * MIB }], cpus: 1, irqchip: 'kernel', ...more });

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const openFds = () => readdirSync('/proc/self/fd').length;
const guestMappings = () => readFileSync('/proc/self/maps', 'utf8').match(/crosvm_guest/g)?.length ?? 0;
/** Size of the address space that is taken. */
const takenMib = () => Number(/VmSize:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;

test('VMs that are closed leave nothing behind', async () => {
  const runAndClose = () => {
    const vm = create({ windows: [{ size: MIB, address: 2 ** 32, maxPieces: 1 }] });
    const event = EventFd.create();
    const file = createMemfd('crosvm_guest_file', MIB);
    vm.windows[0]!.map({ offset: 0, length: MIB, writable: true, fd: file, fdOffset: 0 });
    close(file);
    vm.addIrqfd(event.fd, 30, { address: 0xfee0_0000, data: 0x41 });
    vm.memory.write(0xfff0, Uint8Array.of(0xf4)); // HLT, with interrupts off
    const vcpu = new SoftVcpu(vm.handle(0));
    vm.kick(0);
    assert.deepEqual(vcpu.run({ ports: new Bus(), mmio: new Bus() }), { reason: 'kicked' });
    vcpu.close();
    vm.close();
    event.close();
    assert.equal(vm.memory.getU8(0xfff0), 0);
  };
  const settle = async () => {
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      collectGarbage();
    }
  };
  runAndClose();
  await settle();
  const fds = openFds();
  const taken = takenMib();
  for (let i = 0; i < 30; i++) runAndClose();
  await settle();
  assert.equal(openFds(), fds);
  assert.equal(guestMappings(), 0);
  // Each VM has some 30 MiB, in an address space of several GiB.
  assert.ok(takenMib() < taken + 300, `${takenMib()} MiB of addresses after ${taken}`);
});

test('a VM has the vCPUs that were asked for, in the memory there is', () => {
  const layout = (size: number) => ({ memory: [{ gpa: 0, size }], irqchip: 'kernel' as const });
  for (const cpus of [0, 16]) assert.throws(() => SoftVm.create({ ...layout(2 * MIB), cpus }), { code: 'E_VCPUS' });
  assert.throws(() => SoftVm.create({ ...layout(4096 * MIB), cpus: 1 }), { code: 'E_MEMORY_SIZE' });
  const windows = [{ size: 4096 * MIB, maxPieces: 1 }];
  const message = /2 MiB of memory and 4096 MiB for mapped files/;
  assert.throws(() => create({ windows }), { code: 'E_MEMORY_SIZE', message });
  const vm = create();
  for (const id of [1, -1, 0.5]) {
    assert.throws(() => vm.handle(id), RangeError);
    assert.throws(() => vm.kick(id), RangeError);
  }
  assert.throws(() => vm.interrupts.setLine(24, true), RangeError);
  vm.close();
});

test('on hosts that order memory accesses otherwise than x86 there is one vCPU', () => {
  const arch = Object.getOwnPropertyDescriptor(process, 'arch')!;
  Object.defineProperty(process, 'arch', { ...arch, value: 'arm64' });
  try {
    const create = (cpus: number) =>
      SoftVm.create({ memory: [{ gpa: 0, size: 2 * MIB }], cpus, irqchip: 'kernel' }).close();
    assert.throws(() => create(2), { code: 'E_VCPUS', message: /arm64/ });
    create(1);
  } finally {
    Object.defineProperty(process, 'arch', arch);
  }
});

test('I/O events match what was asked for, and only that', () => {
  const vm = create();
  const bell = EventFd.create();
  const event: IoEvent = { space: 'mmio', address: 0x1000, length: 8, match: 5, fd: bell.fd };
  vm.addIoEvent(event);
  const store = (...bytes: number[]) => vm.ioEvents.signal(false, 0x1000, Uint8Array.from(bytes));
  assert.equal(store(5, 0, 0, 0, 0, 0, 0, 0), true);
  assert.equal(store(5, 0, 0, 0, 1, 0, 0, 0), false);
  assert.equal(store(5, 0, 0, 0), false);
  vm.removeIoEvent({ ...event, length: 4 });
  vm.removeIoEvent({ ...event, space: 'port' });
  assert.equal(store(5, 0, 0, 0, 0, 0, 0, 0), true);
  vm.removeIoEvent(event);
  assert.equal(store(5, 0, 0, 0, 0, 0, 0, 0), false);
  assert.equal(bell.clear(), 2);
  bell.close();
  vm.close();
});

test('an irqfd is connected once, to a GSI that there is', () => {
  const vm = create();
  const event = EventFd.create();
  vm.addIrqfd(event.fd, 30);
  assert.throws(() => vm.addIrqfd(event.fd, 31), { code: 'E_IRQFD' });
  vm.removeIrqfd(event.fd, 31);
  vm.removeIrqfd(event.fd, 30);
  assert.throws(() => vm.addIrqfd(event.fd, 31, undefined, event.fd), RangeError);
  assert.throws(() => vm.addIrqfd(event.fd, 4096), RangeError);
  vm.addIrqfd(event.fd, 31);
  vm.close();
  event.close();
});

test('an irqfd interrupts its vCPU, halted or not, while no event loop turns', () => {
  const vm = create();
  const [event, other] = [EventFd.create(), EventFd.create()];
  vm.addIrqfd(other.fd, 31, { address: 0xfee0_0000, data: 0x42 });
  vm.addIrqfd(event.fd, 30, { address: 0xfee0_0000, data: 0x41 });
  vm.removeIrqfd(other.fd, 31);
  vm.memory.setU32(4 * 0x41, 0x600);
  vm.memory.write(0x600, Uint8Array.of(0xe6, 0x50, 0xf4)); // out %al, $0x50; hlt
  vm.memory.write(0x4000, Uint8Array.of(0xfb, 0xf4)); // sti; hlt
  vm.memory.write(0x5000, Uint8Array.of(0xfb, 0xeb, 0xfe)); // sti; 1: jmp 1b
  const ports = new Bus();
  let port = -1;
  const write = (offset: number) => {
    port = offset;
    vm.kick(0);
  };
  ports.insert({ read: () => {}, write }, 0, 0x1_0000);
  for (const rip of [0x4000n, 0x5000n]) {
    const vcpu = new SoftVcpu(vm.handle(0));
    const lapic = vcpu.getLapic();
    lapic[0xf1] = 1; // the spurious interrupt vector register: software-enable
    vcpu.setLapic(lapic);
    const system = vcpu.getSystemRegisters();
    vcpu.setSystemRegisters({ ...system, cs: { ...system.cs, base: 0n, selector: 0 } });
    vcpu.setRegisters({ ...vcpu.getRegisters(), rip, rsp: 0x8000n, rflags: 2n });
    other.signal();
    event.signal();
    assert.deepEqual(vcpu.run({ ports, mmio: new Bus() }), { reason: 'kicked' });
    assert.equal(port, 0x50);
    assert.deepEqual([event.clear(), other.clear()], [0, 1]);
    port = -1;
    vcpu.setLapic(new Uint8Array(1024));
  }
  vm.close();
  event.close();
  other.close();
});

test('the vCPU that a message is for watches its eventfd', () => {
  const vm = SoftVm.create({ memory: [{ gpa: 0, size: 2 * MIB }], cpus: 2, irqchip: 'kernel' });
  const event = EventFd.create();
  const watchers = () => vm.irqfds.contexts.map((context) => context.wait(0));
  event.signal();
  vm.addIrqfd(event.fd, 30, { address: 0xfee0_1000, data: 0x41 });
  assert.deepEqual(watchers(), [0, 1]);
  vm.setMsiRoute(30, { address: 0xfee0_0000, data: 0x41 });
  assert.deepEqual(watchers(), [1, 0]);
  vm.setMsiRoute(30, { address: 0xfee0_f000, data: 0x41 }); // nobody is there
  assert.deepEqual(watchers(), [1, 0]);
  vm.removeIrqfd(event.fd, 30);
  assert.deepEqual(watchers(), [0, 0]);
  vm.close();
  event.close();
});

test('what a vCPU itself writes to guest memory is in the dirty log', () => {
  const vm = create();
  const vcpu = new SoftVcpu(vm.handle(0));
  vm.setDirtyLog(0, true);
  vcpu.setMsrs([{ index: 0x4b56_4d01, value: 0x5001n }]);
  const log = vm.takeDirtyLog(0);
  assert.deepEqual([log[0], log.length], [1 << 5, 64]);
  vcpu.notePause();
  assert.equal(vm.memory.getU8(0x5000 + 29), 3);
  assert.equal(vm.takeDirtyLog(0)[0], 1 << 5);
  vm.close();
});

test('events that were injected are delivered before anything else', () => {
  const vm = create();
  const vcpu = new SoftVcpu(vm.handle(0));
  let port = -1;
  const buses = { ports: new Bus(), mmio: new Bus() };
  const write = (offset: number) => {
    port = offset;
    vm.kick(0);
  };
  buses.ports.insert({ read: () => {}, write }, 0, 0x1_0000);
  // Real mode: every vector n leads to 0:(0x600 + 4 * n), where it writes to port n and halts.
  for (let n = 0; n < 64; n++) {
    vm.memory.setU32(4 * n, 0x600 + 4 * n);
    vm.memory.write(0x600 + 4 * n, Uint8Array.of(0xe6, n, 0xf4)); // out n, al; hlt
  }
  const none = vcpu.getEvents();
  const system = vcpu.getSystemRegisters();
  vcpu.setSystemRegisters({ ...system, cs: { ...system.cs, base: 0n, selector: 0 } });
  const { rflags: _, ...registers } = vcpu.getRegisters();
  const inject = (events: Partial<typeof none>) => {
    vcpu.setRegisters({ ...registers, rsp: 0x8000n, rip: 0x4000n, rflags: 2n });
    vcpu.setEvents({ ...none, ...events });
    assert.deepEqual(vcpu.getEvents(), { ...none, ...events });
    assert.deepEqual(vcpu.run(buses), { reason: 'kicked' });
    return port;
  };
  assert.equal(inject({ exception: { injected: true, vector: 13, hasErrorCode: true, errorCode: 7 } }), 13);
  assert.equal(vm.memory.getU16(0x8000 - 6), 0x4000, 'it returns to where it was');
  assert.equal(inject({ exception: { injected: true, vector: 3, hasErrorCode: false, errorCode: 0 } }), 3);
  assert.equal(inject({ interrupt: { injected: true, vector: 0x31, soft: false, shadow: 0 } }), 0x31);
  assert.equal(inject({ nmi: { injected: true, pending: false, masked: false } }), 2);
  assert.equal(vcpu.getEvents().nmi.masked, true);
  assert.equal(inject({ nmi: { injected: false, pending: true, masked: false } }), 2);
  vm.close();
});

test('what is random in a deterministic VM follows from its seed, and it has one vCPU', () => {
  const memory = [{ gpa: 0, size: 2 * MIB }];
  const numbers = (seed: number) => {
    const vm = SoftVm.create({ memory, cpus: 1, irqchip: 'kernel', soft: { seed } });
    const vcpu = new SoftVcpu(vm.handle(0));
    const drawn = [vcpu.random(), vcpu.random()];
    vm.close();
    return drawn;
  };
  const [first, second] = numbers(1);
  assert.notEqual(first, second);
  assert.deepEqual(numbers(1), [first, second]);
  assert.notEqual(numbers(2)[0], first);
  assert.throws(() => SoftVm.create({ memory, cpus: 2, irqchip: 'kernel', soft: { seed: 1 } }), { code: 'E_VCPUS' });
});
