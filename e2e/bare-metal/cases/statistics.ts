import assert from 'node:assert/strict';
import type { BareMetalCase } from './case.ts';

export const statisticsCases: readonly BareMetalCase[] = [
  {
    name: 'exits are counted by kind, while the guest runs too',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'protected',
        source: `.code32
          movl $5, %ecx
          1: inb $0x80, %al
          outb %al, $0x80
          outb %al, $0x80
          movl MMIO, %eax
          movl %eax, MMIO
          movl %eax, MMIO + 4
          loop 1b
          mark 1
          2: pause
          cmpl $0, 0x60000
          je 2b
          exit 1`,
      });
      const run = guest.finish();
      await guest.mark(1);
      const seen = guest.vm.statistics(0).exits;
      const { portReads, portWrites, mmioReads, mmioWrites, halts } = seen;
      assert.deepEqual([portReads, portWrites, mmioReads, mmioWrites, halts], [5, 10 + 1, 5, 10, 0]);
      guest.vm.memory.setU32(0x6_0000, 1);
      await run;
      assert.equal(guest.vm.statistics(0).exits.portWrites, portWrites + 1);
    },
  },
];
