import assert from 'node:assert/strict';
import type { Registers } from '../../../src/hypervisor/hypervisor.ts';
import { systemRegistersFor } from '../machine-state.ts';
import type { BareMetalCase } from './case.ts';

const IDLE = '.code16\n exit 0';

const MSR_STAR = 0xc000_0081;
const MSR_LSTAR = 0xc000_0082;
const MSR_FMASK = 0xc000_0084;
const MSR_KERNEL_GS_BASE = 0xc000_0102;
const MSR_SYSENTER_EIP = 0x176;

export const stateCases: readonly BareMetalCase[] = [
  {
    name: 'general registers come back as they were set',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'exit 0' });
      const names = Object.keys(await guest.vcpu.getRegisters()) as (keyof Registers)[];
      const values = names.map((name, i) => [name, 0x1111_1111_1111_1111n * BigInt(i)] as const);
      const registers = { ...Object.fromEntries(values), rip: 0xffff_8000_0000_1234n, rflags: 0xad7n };
      await guest.vcpu.setRegisters(registers as unknown as Registers);
      assert.deepEqual(await guest.vcpu.getRegisters(), registers);
    },
  },
  {
    name: 'system registers come back as they were set, in each mode',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: IDLE });
      const reset = await guest.vcpu.getSystemRegisters();
      for (const mode of ['real', 'protected', 'long'] as const) {
        const registers = {
          ...systemRegistersFor(mode, reset),
          cr2: 0x1234_5678_9000n,
          idt: { base: 0x77n, limit: 99 },
        };
        registers.fs = { ...registers.fs, base: 0x1_0000n };
        await guest.vcpu.setSystemRegisters(registers);
        assert.deepEqual(await guest.vcpu.getSystemRegisters(), registers, mode);
      }
    },
  },
  {
    name: 'FPU and SSE registers come back as they were set',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'exit 0' });
      const fxsave = new Uint8Array(512);
      for (let i = 32; i < 416; i++) fxsave[i] = i < 160 && i % 16 >= 10 ? 0 : i;
      const fields = new DataView(fxsave.buffer);
      fields.setUint16(0, 0x37f, true);
      fields.setUint16(2, 0x3800, true);
      fields.setUint8(4, 0xff);
      fields.setUint32(24, 0x1f80, true);
      await guest.vcpu.setFpu({ fxsave });
      const after = (await guest.vcpu.getFpu()).fxsave;
      // MXCSR_MASK, at 28, is the CPU's own, and 464 to 511 are not the CPU's at all.
      after.fill(0, 28, 32);
      after.fill(0, 464);
      assert.deepEqual(after, fxsave);
    },
  },
  {
    name: 'the guest computes with the FPU state that was set',
    needs: ['sse'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movd %xmm3, %eax
          outl %eax, $0x80
          movl $0x55667788, %eax
          movd %eax, %xmm9
          exit 0`,
      });
      const { fxsave } = await guest.vcpu.getFpu();
      fxsave.set([0x44, 0x33, 0x22, 0x11], 160 + 3 * 16);
      await guest.vcpu.setFpu({ fxsave });
      assert.deepEqual((await guest.finish()).accesses, ['port write 80.4 11223344']);
      const after = (await guest.vcpu.getFpu()).fxsave;
      assert.deepEqual([...after.subarray(160 + 9 * 16, 160 + 9 * 16 + 4)], [0x88, 0x77, 0x66, 0x55]);
    },
  },
  {
    name: 'an FXSAVE image of another size is refused',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: IDLE });
      await assert.rejects(guest.vcpu.setFpu({ fxsave: new Uint8Array(511) }), RangeError);
    },
  },
  {
    name: 'MSRs come back as they were set; one that does not exist is named',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'exit 0' });
      const entries = [
        { index: MSR_STAR, value: 0x0023_0010_0000_0000n },
        { index: MSR_LSTAR, value: 0xffff_ffff_8100_0000n },
        { index: MSR_FMASK, value: 0x4_7700n },
        { index: MSR_KERNEL_GS_BASE, value: 0xffff_8880_1234_5678n },
        { index: MSR_SYSENTER_EIP, value: 0xffff_ffff_8100_1000n },
      ];
      await guest.vcpu.setMsrs(entries);
      assert.deepEqual(await guest.vcpu.getMsrs(entries.map(({ index }) => index)), entries);
      await assert.rejects(guest.vcpu.getMsrs([MSR_STAR, 0x12ff]), /0x12ff/);
      await assert.rejects(guest.vcpu.setMsrs([{ index: 0x12ff, value: 1n }]), /0x12ff/);
      assert.deepEqual(await guest.vcpu.getMsrs([]), []);
    },
  },
  {
    name: 'events come back as they were set',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'exit 0' });
      const events = await guest.vcpu.getEvents();
      assert.equal(events.exception.injected, false);
      const changed = {
        ...events,
        exception: { injected: true, vector: 14, hasErrorCode: true, errorCode: 2 },
        nmi: { injected: false, pending: true, masked: true },
      };
      await guest.vcpu.setEvents(changed);
      assert.deepEqual(await guest.vcpu.getEvents(), changed);
    },
  },
  {
    name: 'LAPIC registers come back as they were set',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'exit 0' });
      const page = await guest.vcpu.getLapic();
      assert.equal(page.length, 1024);
      const words = new DataView(page.buffer, page.byteOffset);
      words.setUint32(0xf0, 0x1ff, true); // spurious vector, enabled
      words.setUint32(0x80, 0x20, true); // task priority
      words.setUint32(0x350, 0x700, true); // LINT0 is ExtINT
      words.setUint32(0x360, 0x400, true); // LINT1 is NMI
      await guest.vcpu.setLapic(page);
      const after = await guest.vcpu.getLapic();
      const view = new DataView(after.buffer, after.byteOffset);
      const read = [0xf0, 0x80, 0x350, 0x360].map((register) => view.getUint32(register, true));
      assert.deepEqual(read, [0x1ff, 0x20, 0x700, 0x400]);
      await assert.rejects(guest.vcpu.setLapic(new Uint8Array(1023)), RangeError);
    },
  },
  {
    name: 'the run state comes back as it was set, and a halted vCPU waits',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: IDLE });
      assert.equal(await guest.vcpu.getMpState(), 'runnable');
      await guest.vcpu.setMpState('halted');
      assert.equal(await guest.vcpu.getMpState(), 'halted');
      guest.vm.kick(0);
      assert.deepEqual((await guest.run()).exit, { reason: 'kicked' });
      await guest.vcpu.setMpState('runnable');
      assert.equal((await guest.finish()).code, 0);
    },
  },
  {
    name: 'the guest sees the CPUID that was set',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movl $0x40000100, %eax
          xorl %ecx, %ecx
          cpuid
          show %ebx
          exit 0`,
      });
      const entry = { leaf: 0x4000_0100, subleaf: 0, indexed: false, eax: 0, ebx: 0x6d76_7363, ecx: 0, edx: 0 };
      await guest.vcpu.setCpuid([...(await guest.vcpu.supportedCpuid()), entry]);
      assert.deepEqual((await guest.finish()).accesses, ['port write 80.4 6d767363']);
    },
  },
  {
    name: 'XCR0 starts with x87 only',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: IDLE });
      assert.equal(await guest.vcpu.getXcr0(), 1n);
      await guest.vcpu.setXcr0(1n);
      assert.equal(await guest.vcpu.getXcr0(), 1n);
    },
  },
  {
    name: 'a guest without kvmclock can be paused',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: IDLE });
      await guest.vcpu.notePause();
      assert.equal((await guest.finish()).code, 0);
    },
  },
];
