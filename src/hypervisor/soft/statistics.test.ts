import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../../devices/bus.ts';
import { CPU } from './state.ts';
import { readStatistics } from './statistics.ts';
import { CpuState } from './system/cpu-state.ts';
import { SoftVcpu } from './vcpu.ts';
import { SoftVm } from './vm.ts';

const ORIGIN = 0x1000;

/** Runs real-mode code at 1000 until it writes to port e0. */
function countersOf(hex: string): ReturnType<SoftVm['statistics']> {
  const vm = SoftVm.create({ memory: [{ gpa: 0, size: 0x8_0000 }], cpus: 1, irqchip: 'kernel' });
  vm.memory.write(
    ORIGIN,
    Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16)),
  );
  const vcpu = new SoftVcpu(vm.handle(0));
  const system = vcpu.getSystemRegisters();
  vcpu.setSystemRegisters({ ...system, cs: { ...system.cs, base: 0n, selector: 0 } });
  vcpu.setRegisters({ ...vcpu.getRegisters(), rip: BigInt(ORIGIN), rsp: 0x8000n });
  const [ports, mmio] = [new Bus(), new Bus()];
  const end = { read: () => {}, write: () => vm.kick(0) };
  ports.insert(end, 0xe0, 1);
  assert.deepEqual(vcpu.run({ ports, mmio }), { reason: 'kicked' });
  const statistics = vm.statistics(0);
  vm.close();
  return statistics;
}

test('a new vCPU has done nothing', () => {
  const vm = SoftVm.create({ memory: [{ gpa: 0, size: 2 << 20 }], cpus: 1, irqchip: 'kernel' });
  const { exits, instructions, jit, code, exceptions } = vm.statistics(0);
  assert.deepEqual(
    [instructions, ...Object.values(exits), ...Object.values(jit), ...Object.values(code)].filter((n) => n !== 0),
    [],
  );
  assert.deepEqual(exceptions, {});
  for (const id of [1, -1]) assert.throws(() => vm.statistics(id), RangeError);
  vm.close();
});

test('what a guest does is counted, by kind', () => {
  // in al, 10 (twice); out 10, al; cpuid; fninit; out e0, al
  const { exits, instructions, tlbMisses } = countersOf('e4 10 e4 10 e6 10 0f a2 db e3 e6 e0');
  assert.equal(exits.portReads, 2);
  assert.equal(exits.portWrites, 2);
  assert.equal(exits.systemCallouts, 1);
  assert.equal(exits.x87Callouts, 1);
  assert.equal(exits.codeLookups > 0, true);
  assert.equal(instructions, 6);
  assert.equal(tlbMisses, 0);
});

test('a load of a page is one TLB miss, however often it is done', () => {
  // mov cx, 100; 1: mov al, [2000]; mov [2000], al; loop 1b; out e0, al
  const { tlbMisses, instructions } = countersOf('b9 64 00 a0 00 20 a2 00 20 e2 f8 e6 e0');
  // The first load, and the first store, as the entry was filled for reads.
  assert.equal(tlbMisses, 2);
  assert.equal(instructions, 1 + 300 + 1);
});

test('exceptions and software interrupts are counted when they are delivered', () => {
  const code = [
    'c7 06 18 00 40 10', // mov word [18h], 1040h
    'c7 06 80 00 50 10', // mov word [80h], 1050h
    '0f 0b', // ud2
    'cd 20', // int 20h
    'e6 e0',
  ].join(' ');
  const body = code.split(' ');
  const image = [...body, ...Array<string>(0x40 - body.length).fill('90')];
  // 1040: push bp; mov bp, sp; add word [bp+2], 2; pop bp; iret
  image.push(...'55 89 e5 83 46 02 02 5d cf'.split(' '));
  image.push(...Array<string>(0x50 - image.length).fill('90'), 'cf'); // 1050: iret
  const { exits, exceptions } = countersOf(image.join(' '));
  assert.deepEqual(exceptions, { '#UD': 1 });
  assert.equal(exits.exceptions, 1);
  assert.equal(exits.softwareInterrupts, 1);
  assert.equal(exits.interrupts, 0);
});

test('code that overwrites itself is seen in the counters of decoded code', () => {
  // The block at 100a is overwritten each time before it runs: twice after it was made.
  // 1000: mov cx, 3; 1003: mov byte [100b], 90; 1008: jmp 100a; 100a: nop; 100b: nop; 100c: loop 1003; out e0, al
  const { code } = countersOf('b9 03 00 c6 06 0b 10 90 eb 00 90 90 e2 f5 e6 e0');
  assert.equal(code.blocksInvalidated, 2);
  assert.equal(code.blocks, code.blocksMade - 2);
  assert.equal(code.drops, 0);
});

test('accesses outside of RAM are MMIO', () => {
  // mov ax, f000; mov ds, ax; mov al, [0]; mov [0], eax; mov [0], ax; out e0, al
  const { exits, tlbMisses } = countersOf('b8 00 f0 8e d8 a0 00 00 66 a3 00 00 a3 00 00 e6 e0');
  assert.equal(exits.mmioReads, 1);
  assert.equal(exits.mmioWrites, 2);
  assert.equal(tlbMisses, 3, 'the TLB never lets them through');
});

test('counters count beyond 32 bits', () => {
  const buffer = new SharedArrayBuffer(4096);
  const state = new CpuState(buffer, 0);
  state.count(CPU.instructions, 2 ** 40);
  state.count(CPU.instructions);
  assert.equal(readStatistics(buffer, 0).instructions, 2 ** 40 + 1);
});
