import assert from 'node:assert/strict';
import type { BareMetalCase } from './case.ts';
import { withInterrupts } from './interrupts.ts';

export const timerCases: readonly BareMetalCase[] = [
  {
    name: 'the LAPIC timer fires once in one-shot mode (xAPIC)',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `movl $0xb, 0x3e0(%rbx)
          movl $0x41, 0x320(%rbx)
          movl $20000, 0x380(%rbx)
          sti
          1: hlt
          jmp 1b`,
          `movl 0x390(%rbx), %eax
          outl %eax, $0x80
          exit 1`,
        ),
      });
      assert.deepEqual(await guest.finish(), { code: 1, accesses: ['port write 80.4 00000000'] });
    },
  },
  {
    name: 'the LAPIC timer fires again and again in periodic mode',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `movl $0xb, 0x3e0(%rbx)
          movl $0x20041, 0x320(%rbx)
          movl $1000000, 0x380(%rbx)
          sti
          1: hlt
          jmp 1b`,
          `end_of_interrupt
          incl 0x6000
          cmpl $3, 0x6000
          je 2f
          iretq
          2: exit 3`,
        ),
      });
      assert.equal((await guest.finish()).code, 3);
    },
  },
  {
    name: 'the LAPIC timer fires by the MSRs of x2APIC',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `movl $0x1b, %ecx
          rdmsr
          orl $0xc00, %eax
          wrmsr
          xorl %edx, %edx
          movl $0x80f, %ecx
          movl $0x1ff, %eax
          wrmsr
          movl $0x83e, %ecx
          movl $0xb, %eax
          wrmsr
          movl $0x832, %ecx
          movl $0x41, %eax
          wrmsr
          movl $0x838, %ecx
          movl $20000, %eax
          wrmsr
          sti
          1: hlt
          jmp 1b`,
          'exit 1',
        ),
      });
      assert.equal((await guest.finish()).code, 1);
      assert.equal((await guest.vcpu.getSystemRegisters()).apicBase & 0xc00n, 0xc00n);
    },
  },
  {
    name: 'the TSC deadline timer fires',
    needs: ['tsc-deadline'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `movl $0x40041, 0x320(%rbx)
          mfence
          rdtsc
          addl $100000, %eax
          adcl $0, %edx
          movl $0x6e0, %ecx
          wrmsr
          sti
          1: hlt
          jmp 1b`,
          'exit 1',
        ),
      });
      assert.equal((await guest.finish()).code, 1);
    },
  },
  {
    name: 'PIT channel 0 interrupts through the PIC',
    needs: ['pit'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          movw $(ORIGIN + handler - start), 0x20 * 4
          movw $0, 0x20 * 4 + 2
          movb $0x11, %al
          outb %al, $0x20
          movb $0x20, %al
          outb %al, $0x21
          movb $4, %al
          outb %al, $0x21
          movb $1, %al
          outb %al, $0x21
          movb $0xfe, %al
          outb %al, $0x21
          movb $0x34, %al
          outb %al, $0x43
          movb $0xa9, %al
          outb %al, $0x40
          movb $4, %al
          outb %al, $0x40
          sti
          1: hlt
          jmp 1b
          handler: exit 1`,
      });
      assert.equal((await guest.finish()).code, 1);
    },
  },
];
