/** What only KVM has: a LAPIC in the kernel with the other chips outside. */
import assert from 'node:assert/strict';
import type { BareMetalCase } from './cases/case.ts';
import { MSI_ADDRESS, withInterrupts } from './cases/interrupts.ts';
import { KVM, kvmMissing } from './kvm-target.ts';
import { runCases } from './run-cases.ts';

const MSI_LEVEL_ASSERTED = 0xc000;
const splitCases: readonly BareMetalCase[] = [
  {
    name: 'the end of a level-triggered interrupt reaches the IOAPIC outside',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        // A KVM that interprets runs on for a while before it leaves for the end of an interrupt.
        source: withInterrupts(
          'exit 1\n sti\n 1: hlt\n jmp 1b',
          `movl $0, 0xb0(%rbx)
          movl $200000, %ecx
          2: decl %ecx
          jnz 2b
          exit 2`,
        ),
      });
      const route = { address: MSI_ADDRESS, data: MSI_LEVEL_ASSERTED | 0x41 };
      guest.vm.setMsiRoute(5, route);
      await guest.finish();
      guest.vm.interrupts.signalMsi(route.address, route.data);
      assert.deepEqual(await guest.finish(), { code: 2, accesses: ['eoi 41'] });
    },
  },
  {
    name: 'the end of an edge-triggered interrupt stays in the kernel',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts('exit 1\n sti\n 1: hlt\n jmp 1b', 'movl $0, 0xb0(%rbx)\n exit 2'),
      });
      await guest.finish();
      guest.vm.interrupts.signalMsi(MSI_ADDRESS, 0x41);
      assert.deepEqual(await guest.finish(), { code: 2, accesses: [] });
    },
  },
  {
    name: 'interrupts of the PIC outside are taken when the guest allows them, one after the other',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          movw $(ORIGIN + first - start), 0x33 * 4
          movw $0, 0x33 * 4 + 2
          movw $(ORIGIN + second - start), 0x34 * 4
          movw $0, 0x34 * 4 + 2
          outb %al, $0x80
          sti
          1: jmp 1b
          first: outb %al, $0x81
          iret
          second: exit 2`,
      });
      const { code, accesses } = await guest.finish({ externalInterrupts: [0x33, 0x34] });
      assert.equal(code, 2);
      assert.deepEqual(
        accesses.map((access) => access.slice(0, 13)),
        ['port write 80', 'port write 81'],
      );
    },
  },
  {
    name: 'wires are not the business of KVM',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n exit 0' });
      assert.throws(() => guest.vm.interrupts.setLine(4, true), /own IOAPIC/);
    },
  },
];

runCases({ ...KVM, name: 'kvm, split irqchip', irqchip: 'split', lacks: {} }, splitCases, kvmMissing());
