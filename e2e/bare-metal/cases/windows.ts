import assert from 'node:assert/strict';
import type { BareMetalHarness } from '../harness.ts';
import type { BareMetalCase } from './case.ts';
import { MSI_ADDRESS, VECTOR, withInterrupts } from './interrupts.ts';

/** Counts the instructions `incl 0x6000` that a guest executes between exit 0, when the interrupt comes, and its handler. */
async function countUntilInterrupt(harness: BareMetalHarness, source: string): Promise<number> {
  await using guest = await harness.start({ mode: 'long', source: withInterrupts(source, 'exit 1') });
  assert.equal((await guest.finish()).code, 0);
  guest.vm.interrupts.signalMsi(MSI_ADDRESS, VECTOR);
  assert.equal((await guest.finish()).code, 1);
  return guest.vm.memory.getU32(0x6000);
}

const COUNT = 'incl 0x6000\n incl 0x6000\n incl 0x6000\n exit 9';

/** Where an interrupt that waits may come in. */
const windows: readonly { readonly name: string; readonly source: string; readonly executed: number }[] = [
  {
    name: 'an interrupt comes after the instruction that follows sti, and not before',
    source: `exit 0\n sti\n ${COUNT}`,
    executed: 1,
  },
  {
    name: 'sti at the end of a page holds interrupts off until the first instruction of the next page',
    source: `exit 0\n jmp 1f\n .org 0xfff\n 1: sti\n ${COUNT}`,
    executed: 1,
  },
  {
    name: 'sti before an instruction across the edge of a page',
    source: `exit 0\n jmp 1f\n .org 0xffd\n 1: sti\n ${COUNT}`,
    executed: 1,
  },
  {
    name: 'a second sti does not hold interrupts off for longer',
    source: `exit 0\n sti\n sti\n ${COUNT}`,
    executed: 0,
  },
  {
    name: 'an interrupt comes right after popf',
    source: `pushq $0x202\n exit 0\n popfq\n ${COUNT}`,
    executed: 0,
  },
  {
    name: 'an interrupt comes right after iretq',
    source: `movq %rsp, %rax
      pushq $16
      pushq %rax
      pushq $0x202
      pushq $8
      pushq $(ORIGIN + 1f - start)
      exit 0
      iretq
      1: ${COUNT}`,
    executed: 0,
  },
  {
    name: 'mov to ss holds interrupts off for one instruction',
    source: `pushq $0x202
      movl $16, %ecx
      exit 0
      incl 0x6000
      # The interrupt is let in by POPF, in whose shadow of MOV SS it is not taken yet.
      movl %ecx, %ss
      popfq
      incl 0x6000
      exit 9`,
    executed: 1,
  },
];

export const windowCases: readonly BareMetalCase[] = [
  ...windows.map(
    ({ name, source, executed }): BareMetalCase => ({
      name,
      needs: ['interrupt-window'],
      async run(harness) {
        assert.equal(await countUntilInterrupt(harness, source), executed);
      },
    }),
  ),
  {
    name: 'mov to ss with interrupts on holds them off for one instruction',
    needs: ['interrupt-window'],
    async run(harness) {
      // Whenever the interrupt comes, it does not come between the two.
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `movl $16, %ecx
          sti
          mark 1
          1: movl %ecx, %ss
          2: nop
          jmp 1b`,
          `popq %rax
          cmpq $(ORIGIN + 2b - start), %rax
          je 3f
          pushq %rax
          incl 0x6000
          end_of_interrupt
          movb $2, %al
          outb %al, $MARK
          cmpl $50, 0x6000
          je 4f
          iretq
          3: exit 9
          4: exit 1`,
        ),
      });
      const run = guest.finish();
      await guest.mark(1);
      for (let i = 0; i < 50; i++) {
        guest.vm.interrupts.signalMsi(MSI_ADDRESS, VECTOR);
        await guest.mark(2);
      }
      assert.equal((await run).code, 1);
    },
  },
  {
    name: 'the end of an interrupt lets the next one in at once',
    needs: ['interrupt-window', 'interrupt-service'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          load_idt
          movl $LAPIC, %ebx
          movl $0x1ff, 0xf0(%rbx)
          exit 0
          sti
          1: jmp 1b
          low: exit 1
          high: sti
          movl $5000, %ecx
          end_of_interrupt
          1: incl 0x6000
          loop 1b
          exit 9
          .balign 16
          idt: gates_to low 0x60
          gates_to high 160`,
      });
      assert.equal((await guest.finish()).code, 0);
      guest.vm.interrupts.signalMsi(MSI_ADDRESS, 0x41);
      guest.vm.interrupts.signalMsi(MSI_ADDRESS, 0x71);
      assert.equal((await guest.finish()).code, 1);
      assert.ok(guest.vm.memory.getU32(0x6000) < 5000);
    },
  },
  {
    name: 'a lower task priority lets an interrupt in at once',
    needs: ['interrupt-window'],
    async run(harness) {
      const source = `movl $9, %eax
        movq %rax, %cr8
        sti
        exit 0
        xorl %eax, %eax
        movq %rax, %cr8
        ${COUNT}`;
      assert.ok((await countUntilInterrupt(harness, source)) <= 1);
    },
  },
  {
    name: 'an NMI waits until the handler of the one before returns',
    needs: ['interrupt-window'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `movl $0x40400, 0x300(%rbx)
          1: cmpl $2, 0x6004
          jne 1b
          exit 1`,
          'exit 9',
          `incl 0x6000
          cmpl $1, 0x6000
          jne 3f
          cmpl $0, 0x6004
          jne 2f
          movl $0x40400, 0x300(%rbx)
          2: movl $1000, %ecx
          1: loop 1b
          decl 0x6000
          incl 0x6004
          iretq
          3: exit 8`,
        ),
      });
      assert.equal((await guest.finish()).code, 1);
    },
  },
  {
    name: 'no interrupt is lost, whenever it comes to a guest that halts',
    needs: ['interrupt-service'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          'mark 1\n 1: sti\n hlt\n jmp 1b',
          `incl 0x6000
          end_of_interrupt
          movb $2, %al
          outb %al, $MARK
          cmpl $500, 0x6000
          je 2f
          iretq
          2: exit 1`,
        ),
      });
      const run = guest.finish();
      await guest.mark(1);
      // The handler tells that it is there before it halts again: the next interrupt meets it anywhere on that way.
      for (let i = 0; i < 500; i++) {
        guest.vm.interrupts.signalMsi(MSI_ADDRESS, VECTOR);
        await guest.mark(2);
      }
      assert.equal((await run).code, 1);
    },
  },
];
