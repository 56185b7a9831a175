import assert from 'node:assert/strict';
import { ORIGIN } from '../prelude.ts';
import type { BareMetalCase } from './case.ts';

const ORIGIN_64 = BigInt(ORIGIN);

export const debugCases: readonly BareMetalCase[] = [
  {
    name: 'single step stops after each instruction',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'nop\n movl $5, %ecx\n nop\n exit 4' });
      await guest.vcpu.setGuestDebug({ singleStep: true, breakpoints: [] });
      const stops: bigint[] = [];
      for (let i = 0; i < 3; i++) {
        assert.deepEqual((await guest.run()).exit, { reason: 'debug' });
        stops.push((await guest.vcpu.getRegisters()).rip - ORIGIN_64);
      }
      assert.deepEqual(stops, [1n, 6n, 7n]);
      assert.equal((await guest.vcpu.getRegisters()).rcx, 5n);
      await guest.vcpu.setGuestDebug(undefined);
      assert.equal((await guest.finish()).code, 4);
    },
  },
  {
    name: 'a hardware breakpoint stops before its instruction, each time',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movl $2, %ecx
          1: nop
          decl %ecx
          jnz 1b
          exit 4`,
      });
      await guest.vcpu.setGuestDebug({ singleStep: false, breakpoints: [ORIGIN_64 + 0x100n, ORIGIN_64 + 6n] });
      for (const left of [2n, 1n]) {
        assert.deepEqual((await guest.run()).exit, { reason: 'debug' });
        const { rip, rcx } = await guest.vcpu.getRegisters();
        assert.deepEqual([rip - ORIGIN_64, rcx], [6n, left]);
        // Step off the breakpoint, as a debugger does.
        await guest.vcpu.setGuestDebug({ singleStep: true, breakpoints: [] });
        assert.deepEqual((await guest.run()).exit, { reason: 'debug' });
        await guest.vcpu.setGuestDebug({ singleStep: false, breakpoints: [ORIGIN_64 + 6n] });
      }
      assert.equal((await guest.finish()).code, 4);
    },
  },
  {
    name: 'a hardware breakpoint on the first instruction stops before anything is executed',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'incl 0x6000\n exit 4' });
      await guest.vcpu.setGuestDebug({ singleStep: false, breakpoints: [ORIGIN_64] });
      assert.deepEqual((await guest.run()).exit, { reason: 'debug' });
      assert.equal((await guest.vcpu.getRegisters()).rip, ORIGIN_64);
      assert.equal(guest.vm.memory.getU32(0x6000), 0);
      await guest.vcpu.setGuestDebug(undefined);
      assert.equal((await guest.finish()).code, 4);
    },
  },
  {
    name: 'TF traps behind the instruction that follows POPF or IRET, and behind each one after it',
    async run(harness) {
      // The handler reports where the trap came, as a distance from the first instruction that TF is set for.
      await using guest = await harness.start({
        mode: 'long',
        source: `
          load_idt
          pushfq
          orl $0x100, (%rsp)
          leaq first(%rip), %rbx
          popfq
          first: nop
          incl %ecx
          nop
          pushfq
          andl $~0x100, (%rsp)
          popfq
          leaq second(%rip), %rbx
          movq %rsp, %rcx
          pushq $16
          pushq %rcx
          pushq $0x102
          pushq $8
          pushq %rbx
          iretq
          second: nop
          clts
          exit 0
          handler:
          movq (%rsp), %rax
          subq %rbx, %rax
          outb %al, $0x80
          cmpb $3, %al
          jb 1f
          andl $~0x100, 16(%rsp)
          1: iretq
          .balign 16
          idt: gates_to handler 32
          .fill 4096 - 32 * 16, 1, 0`,
      });
      const accesses = ['01', '03', '01', '03'].map((at) => `port write 80.1 ${at}`);
      assert.deepEqual(await guest.finish(), { code: 0, accesses });
    },
  },
  {
    name: 'more than four hardware breakpoints are refused',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n exit 0' });
      const breakpoints = [1n, 2n, 3n, 4n, 5n];
      await assert.rejects(guest.vcpu.setGuestDebug({ singleStep: false, breakpoints }), RangeError);
    },
  },
];
