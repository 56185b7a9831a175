import assert from 'node:assert/strict';
import { EventFd } from '../../../src/base/event-fd.ts';
import type { IoEvent } from '../../../src/hypervisor/hypervisor.ts';
import { MMIO_BASE } from '../prelude.ts';
import type { BareMetalCase } from './case.ts';

interface IoEventCase {
  readonly name: string;
  readonly event: Omit<IoEvent, 'fd'>;
  /** A 64-bit guest. */
  readonly source: string;
  /** What the event does not take. */
  readonly accesses: readonly string[];
}

/** In each guest exactly two stores match. */
const CASES: readonly IoEventCase[] = [
  {
    name: 'a port and any value',
    event: { space: 'port', address: 0x80, length: 2 },
    source: `
      outw %ax, $0x80
      outb %al, $0x80
      outw %ax, $0x80
      outw %ax, $0x82`,
    accesses: ['port write 80.1 00', 'port write 82.2 0000'],
  },
  {
    name: 'a port and one value',
    event: { space: 'port', address: 0x80, length: 4, match: 0x89ab_cdef },
    source: `
      show $0x89abcdef
      notl %eax
      outl %eax, $0x80
      notl %eax
      outl %eax, $0x80`,
    accesses: ['port write 80.4 76543210'],
  },
  {
    name: 'MMIO and any value',
    event: { space: 'mmio', address: MMIO_BASE, length: 4 },
    source: `
      movl $1, (%rbx)
      movl $2, (%rbx)
      movb $3, (%rbx)`,
    accesses: ['mmio write d0000000.1 03'],
  },
  {
    name: 'MMIO and one value',
    event: { space: 'mmio', address: MMIO_BASE + 0x3004, length: 2, match: 5 },
    source: `
      movw $5, 0x3004(%rbx)
      movw $6, 0x3004(%rbx)
      movw $5, 0x3004(%rbx)`,
    accesses: ['mmio write d0003004.2 0006'],
  },
  {
    name: 'MMIO at width 8',
    event: { space: 'mmio', address: MMIO_BASE + 8, length: 8 },
    source: `
      movq %rax, 8(%rbx)
      movq %rbx, 8(%rbx)`,
    accesses: [],
  },
  {
    name: 'MMIO of any width',
    event: { space: 'mmio', address: MMIO_BASE, length: 0 },
    source: `
      movb $1, (%rbx)
      movl $1, (%rbx)
      movl $7, 4(%rbx)`,
    accesses: ['mmio write d0000004.4 00000007'],
  },
];

export const ioEventCases: readonly BareMetalCase[] = [
  ...CASES.map(
    ({ name, event, source, accesses }): BareMetalCase => ({
      name: `an I/O event takes stores to ${name}`,
      needs: ['ioeventfd'],
      async run(harness) {
        await using guest = await harness.start({
          mode: 'long',
          source: `movl $MMIO, %ebx\n xorl %eax, %eax\n ${source}\n exit 0`,
        });
        const doorbell = EventFd.create();
        guest.vm.addIoEvent({ ...event, fd: doorbell.fd });
        assert.deepEqual(await guest.finish(), { code: 0, accesses });
        assert.equal(doorbell.clear(), 2);
        doorbell.close();
      },
    }),
  ),
  {
    name: 'an I/O event that was removed lets stores through',
    needs: ['ioeventfd'],
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n outb %al, $0x80\n exit 0' });
      const doorbell = EventFd.create();
      const event: IoEvent = { space: 'port', address: 0x80, length: 1, match: 0, fd: doorbell.fd };
      guest.vm.addIoEvent(event);
      guest.vm.removeIoEvent(event);
      assert.deepEqual((await guest.finish()).accesses, ['port write 80.1 00']);
      assert.equal(doorbell.clear(), 0);
      doorbell.close();
    },
  },
  {
    name: 'two I/O events at one address tell values apart',
    needs: ['ioeventfd'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          movb $1, %al
          outb %al, $0x80
          movb $2, %al
          outb %al, $0x80
          outb %al, $0x80
          exit 0`,
      });
      const doorbells = [EventFd.create(), EventFd.create()];
      doorbells.forEach(({ fd }, i) => {
        guest.vm.addIoEvent({ space: 'port', address: 0x80, length: 1, match: i + 1, fd });
      });
      assert.deepEqual(await guest.finish(), { code: 0, accesses: [] });
      assert.deepEqual(
        doorbells.map((doorbell) => doorbell.clear()),
        [1, 2],
      );
      for (const doorbell of doorbells) doorbell.close();
    },
  },
  {
    name: 'a match without a length is refused',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n exit 0' });
      const event: IoEvent = { space: 'port', address: 0x80, length: 0, match: 1, fd: 0 };
      assert.throws(() => guest.vm.addIoEvent(event), RangeError);
    },
  },
];
