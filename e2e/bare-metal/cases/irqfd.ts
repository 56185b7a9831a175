import assert from 'node:assert/strict';
import { EventFd } from '../../../src/base/event-fd.ts';
import type { BareMetalHarness } from '../harness.ts';
import type { BareMetalCase } from './case.ts';
import { HALT_UNTIL_INTERRUPT, MSI_ADDRESS, VECTOR, withInterrupts } from './interrupts.ts';

/** IOAPIC pin 20 is level-triggered and leads to VECTOR. */
const LEVEL_PIN_20 = `
  movl $0xfec00000, %edx
  movl $0x10 + 2 * 20, (%rdx)
  movl $${0x8000 | VECTOR}, 0x10(%rdx)`;

/** How often the end of IOAPIC pin 20's interrupt was told while the handler ran, and at the end. */
async function resample(harness: BareMetalHarness): Promise<[number, number]> {
  await using guest = await harness.start({
    mode: 'long',
    source: withInterrupts(
      `${LEVEL_PIN_20}
      mark 1
      sti
      1: hlt
      jmp 1b`,
      `exit 1
      end_of_interrupt
      exit 2`,
    ),
  });
  const event = EventFd.create();
  const ended = EventFd.create();
  guest.vm.addIrqfd(event.fd, 20, undefined, ended.fd);
  const run = guest.finish();
  await guest.mark(1);
  event.signal();
  assert.equal((await run).code, 1);
  const during = ended.clear();
  assert.equal((await guest.finish()).code, 2);
  const after = during + ended.clear();
  guest.vm.removeIrqfd(event.fd, 20);
  event.close();
  ended.close();
  return [during, after];
}

export const irqfdCases: readonly BareMetalCase[] = [
  {
    name: 'an irqfd sends its MSI, also after the route has changed',
    needs: ['irqfd'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          'mark 1\n sti\n 1: hlt\n jmp 1b',
          `incl 0x6000
          movb 0x6000, %al
          outb %al, $MARK
          end_of_interrupt
          cmpb $3, 0x6000
          je 2f
          iretq
          2: exit 3`,
        ),
      });
      const event = EventFd.create();
      guest.vm.addIrqfd(event.fd, 30, { address: MSI_ADDRESS, data: VECTOR });
      const run = guest.finish();
      await guest.mark(1);
      event.signal();
      await guest.mark(1);
      event.signal();
      await guest.mark(2);
      guest.vm.setMsiRoute(30, { address: MSI_ADDRESS, data: 0x42 });
      guest.vm.setMsiRoute(30, { address: MSI_ADDRESS, data: VECTOR });
      event.signal();
      assert.equal((await run).code, 3);
      guest.vm.removeIrqfd(event.fd, 30);
      event.close();
    },
  },
  {
    name: 'an irqfd that was removed interrupts nobody',
    needs: ['irqfd'],
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: HALT_UNTIL_INTERRUPT });
      const removed = EventFd.create();
      const stays = EventFd.create();
      guest.vm.addIrqfd(removed.fd, 30, { address: MSI_ADDRESS, data: 0x42 });
      guest.vm.addIrqfd(stays.fd, 31, { address: MSI_ADDRESS, data: VECTOR });
      guest.vm.removeIrqfd(removed.fd, 30);
      const run = guest.finish();
      await guest.mark(1);
      removed.signal();
      stays.signal();
      assert.equal((await run).code, 1, 'vector 0x42 would have exited with 0xee');
      removed.close();
      stays.close();
    },
  },
  {
    name: 'what comes while an irqfd is removed waits in the eventfd',
    needs: ['irqfd'],
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: HALT_UNTIL_INTERRUPT });
      const event = EventFd.create();
      const route = { address: MSI_ADDRESS, data: VECTOR };
      guest.vm.addIrqfd(event.fd, 30, route);
      guest.vm.removeIrqfd(event.fd, 30);
      event.signal();
      const run = guest.finish();
      await guest.mark(1);
      guest.vm.addIrqfd(event.fd, 30, route);
      assert.equal((await run).code, 1);
      guest.vm.removeIrqfd(event.fd, 30);
      event.close();
    },
  },
  {
    name: 'an irqfd with resample tells that the guest has ended a level-triggered interrupt',
    needs: ['pic', 'irqfd'],
    async run(harness) {
      const [, after] = await resample(harness);
      assert.equal(after, 1);
    },
  },
  {
    name: 'an irqfd with resample does not tell before',
    needs: ['pic', 'irqfd', 'interrupt-service'],
    async run(harness) {
      const [during] = await resample(harness);
      assert.equal(during, 0);
    },
  },
  {
    name: 'pins of the IOAPIC cannot be routed elsewhere',
    needs: ['pic', 'irqfd'],
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n exit 0' });
      for (const gsi of [23, -1, 4096, 30.5]) {
        assert.throws(() => guest.vm.setMsiRoute(gsi, { address: MSI_ADDRESS, data: 0x41 }), RangeError);
      }
      guest.vm.setMsiRoute(24, { address: MSI_ADDRESS, data: 0x41 });
      guest.vm.setMsiRoute(24, undefined);
    },
  },
  {
    name: 'whoever raises a resampled interrupt again at its end gets another one, each time',
    needs: ['pic', 'irqfd', 'interrupt-service'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts(
          `${LEVEL_PIN_20}
          mark 1
          sti
          1: hlt
          jmp 1b`,
          `incl 0x6000
          end_of_interrupt
          movb 0x6000, %al
          outb %al, $MARK
          cmpb $3, 0x6000
          je 2f
          iretq
          2: exit 3`,
        ),
      });
      const event = EventFd.create();
      const ended = EventFd.create();
      guest.vm.addIrqfd(event.fd, 20, undefined, ended.fd);
      const run = guest.finish();
      await guest.mark(1);
      for (const time of [1, 2, 3]) {
        event.signal();
        await guest.mark(time);
        assert.equal(ended.clear(), 1);
      }
      assert.equal((await run).code, 3);
      guest.vm.removeIrqfd(event.fd, 20);
      event.close();
      ended.close();
    },
  },
];
