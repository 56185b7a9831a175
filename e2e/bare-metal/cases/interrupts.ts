import assert from 'node:assert/strict';
import type { BareMetalCase } from './case.ts';

/** The LAPIC of vCPU 0, fixed delivery. */
export const MSI_ADDRESS = 0xfee0_0000;
export const VECTOR = 0x41;

/** An IDT whose vector 0x41 leads to `handler` and vector 2 to `nmi`; every other one exits with 0xee. */
export const withInterrupts = (source: string, handler: string, nmi = 'exit 0xee'): string => `
  load_idt
  movl $LAPIC, %ebx
  movl $0x1ff, 0xf0(%rbx)
  ${source}
  handler:
  ${handler}
  nmi:
  ${nmi}
  unexpected:
  exit 0xee
  .balign 16
  idt: gates_to unexpected 2
  gate nmi
  gates_to unexpected ${VECTOR - 3}
  gate handler
  gates_to unexpected ${255 - VECTOR}
`;

/** Waits in HLT; vector 0x41 exits with code 1. */
export const HALT_UNTIL_INTERRUPT = withInterrupts('mark 1\n sti\n hlt\n exit 9', 'exit 1');

/** The PIC pair at vectors 0x20 and 0x28, all inputs open. */
const SET_UP_PIC = `
  movb $0x11, %al
  outb %al, $0x20
  outb %al, $0xa0
  movb $0x20, %al
  outb %al, $0x21
  movb $0x28, %al
  outb %al, $0xa1
  movb $4, %al
  outb %al, $0x21
  movb $2, %al
  outb %al, $0xa1
  movb $1, %al
  outb %al, $0x21
  outb %al, $0xa1
  xorl %eax, %eax
  outb %al, $0x21
  outb %al, $0xa1`;

/** In real mode: vector `vector` leads to label handler. */
const realVector = (vector: number): string => `
  movw $(ORIGIN + handler - start), ${4 * vector}
  movw $0, ${4 * vector + 2}`;

export const interruptCases: readonly BareMetalCase[] = [
  ...[
    { gsi: 5, vector: 0x25, name: 'a line of the master PIC' },
    { gsi: 11, vector: 0x2b, name: 'a line of the slave PIC' },
  ].map(
    ({ gsi, vector, name }): BareMetalCase => ({
      name: `${name} interrupts a halted guest`,
      needs: ['pic'],
      async run(harness) {
        await using guest = await harness.start({
          mode: 'real',
          source: `.code16
            ${realVector(vector)}
            ${SET_UP_PIC}
            mark 1
            sti
            hlt
            exit 9
            handler: exit 1`,
        });
        const run = guest.finish();
        await guest.mark(1);
        guest.vm.interrupts.setLine(gsi, true);
        assert.deepEqual(await run, { code: 1, accesses: [] });
        guest.vm.interrupts.setLine(gsi, false);
      },
    }),
  ),
  {
    name: 'a PIC line waits until the guest allows interrupts',
    needs: ['pic'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          ${realVector(0x25)}
          ${SET_UP_PIC}
          mark 1
          1: cmpb $0, 0x6000
          je 1b
          outb %al, $0x80
          sti
          1: jmp 1b
          handler: exit 1`,
      });
      const run = guest.finish();
      await guest.mark(1);
      guest.vm.interrupts.setLine(5, true);
      guest.vm.memory.setU8(0x6000, 1);
      assert.deepEqual(await run, { code: 1, accesses: ['port write 80.1 01'] });
    },
  },
  {
    name: 'an IOAPIC line reaches its vector',
    needs: ['pic'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `movl $0xfec00000, %edx
          movl $0x10 + 2 * 20, (%rdx)
          movl $${VECTOR}, 0x10(%rdx)
          mark 1
          sti
          hlt
          exit 9`,
          'exit 1',
        ),
      });
      const run = guest.finish();
      await guest.mark(1);
      guest.vm.interrupts.setLine(20, true);
      assert.equal((await run).code, 1);
    },
  },
  {
    name: 'an MSI wakes a halted guest',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: HALT_UNTIL_INTERRUPT });
      const run = guest.finish();
      await guest.mark(1);
      guest.vm.interrupts.signalMsi(MSI_ADDRESS, VECTOR);
      assert.deepEqual(await run, { code: 1, accesses: [] });
    },
  },
  {
    name: 'an MSI interrupts a running guest, which then runs on',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `sti
          mark 1
          1: cmpb $0, 0x6000
          je 1b
          exit 2`,
          `movb $1, 0x6000
          end_of_interrupt
          iretq`,
        ),
      });
      const run = guest.finish();
      await guest.mark(1);
      guest.vm.interrupts.signalMsi(MSI_ADDRESS, VECTOR);
      assert.equal((await run).code, 2);
    },
  },
  {
    name: 'an NMI comes through although interrupts are off',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts('cli\n exit 1\n 1: jmp 1b', 'exit 9', 'exit 2'),
      });
      assert.equal((await guest.finish()).code, 1);
      await guest.vcpu.injectNmi();
      assert.equal((await guest.finish()).code, 2);
    },
  },
  {
    name: 'the higher vector is served first, the lower after its end',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          load_idt
          movl $LAPIC, %ebx
          movl $0x1ff, 0xf0(%rbx)
          exit 1
          sti
          1: jmp 1b
          low: exit 2
          high: outb %al, $0x80
          end_of_interrupt
          iretq
          .balign 16
          idt: gates_to low 0x60
          gates_to high 160`,
      });
      await guest.finish();
      guest.vm.interrupts.signalMsi(MSI_ADDRESS, 0x41);
      guest.vm.interrupts.signalMsi(MSI_ADDRESS, 0x71);
      const { code, accesses } = await guest.finish();
      assert.deepEqual([code, accesses.length], [2, 1]);
    },
  },
];
