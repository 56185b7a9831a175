import assert from 'node:assert/strict';
import { PAGE_TABLE } from '../machine-state.ts';
import type { BareMetalCase } from './case.ts';

const MIB = 0x10_0000;

export const memoryCases: readonly BareMetalCase[] = [
  {
    name: 'the dirty log shows the pages that the guest wrote, once',
    needs: ['dirty-log'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'protected',
        source: `.code32
          movb $1, 0x60000
          movl $1, 0x71ffc
          movb 0x62000, %al
          outb %al, $EXIT
          movb $1, 0x80fff
          exit 2`,
      });
      guest.vm.setDirtyLog(0, true);
      const written = () => {
        const log = guest.vm.takeDirtyLog(0);
        const pages = Array.from({ length: log.length * 8 }, (_, page) => page);
        return pages.filter((page) => (log[page >> 3]! >> (page & 7)) & 1).filter((page) => page >= 0x60);
      };
      assert.equal(guest.vm.takeDirtyLog(0).length, guest.vm.memory.regions[0]!.size / 4096 / 8);
      await guest.finish();
      assert.deepEqual(written(), [0x60, 0x71]);
      assert.deepEqual(written(), [], 'the log starts anew');
      await guest.finish();
      assert.deepEqual(written(), [0x80]);
      guest.vm.setDirtyLog(0, false);
      assert.throws(() => guest.vm.takeDirtyLog(0));
    },
  },
  {
    name: 'the dirty log misses no write of a guest that runs',
    needs: ['dirty-log'],
    async run(harness) {
      // Each time that the guest is asked it has written page 0x61 before it says so.
      await using guest = await harness.start({
        mode: 'protected',
        source: `.code32
          mark 1
          1: movl 0x60000, %eax
          movl %eax, 0x61000
          movl %eax, 0x62000
          cmpl $200, %eax
          jne 1b
          exit 2`,
      });
      const { memory } = guest.vm;
      guest.vm.setDirtyLog(0, true);
      const run = guest.finish();
      await guest.mark(1);
      for (let round = 1; round <= 200; round++) {
        memory.setU32(0x6_0000, round);
        while (memory.getU32(0x6_2000) !== round) await new Promise((resolve) => setImmediate(resolve));
        const log = guest.vm.takeDirtyLog(0);
        assert.deepEqual([round, (log[0x61 >> 3]! >> 1) & 1, (log[0x68 >> 3]! >> 0) & 1], [round, 1, 0]);
      }
      assert.equal((await run).code, 2);
    },
  },
  {
    name: 'regions that do not exist have no dirty log',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n exit 0' });
      assert.throws(() => guest.vm.setDirtyLog(1, true), RangeError);
      assert.throws(() => guest.vm.takeDirtyLog(-1), RangeError);
    },
  },
  {
    name: 'read-only memory can be read and run; a store goes to the MMIO bus',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'protected',
        memory: [
          { gpa: 0, size: 2 * MIB },
          { gpa: 4 * MIB, size: 0x1000, readOnly: true },
        ],
        source: `.code32
          movl $${4 * MIB}, %ebx
          show (%ebx)
          movw %ax, 0x10(%ebx)
          call *%ebx
          exit 3`,
      });
      guest.vm.memory.write(4 * MIB, Uint8Array.of(0xb9, 0x44, 0x33, 0x22, 0x11, 0xc3)); // mov $0x11223344, %ecx; ret
      assert.deepEqual(await guest.finish(), {
        code: 3,
        accesses: ['port write 80.4 223344b9', `mmio write ${(4 * MIB + 0x10).toString(16)}.2 44b9`],
      });
      assert.equal(guest.vm.memory.getU16(4 * MIB + 0x10), 0);
      assert.equal((await guest.vcpu.getRegisters()).rcx, 0x1122_3344n);
    },
  },
  {
    name: 'memory above 4 GiB is there',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        memory: [
          { gpa: 0, size: 2 * MIB },
          { gpa: 0x1_0000_0000, size: 2 * MIB },
        ],
        source: `
          show 0x60010
          movl $0x5678, 0x60020
          exit 0`,
      });
      guest.vm.memory.setU64(PAGE_TABLE + 8 * 0x60, 0x1_0000_0003);
      guest.vm.memory.setU32(0x1_0000_0010, 0x1234);
      assert.deepEqual((await guest.finish()).accesses, ['port write 80.4 00001234']);
      assert.equal(guest.vm.memory.getU32(0x1_0000_0020), 0x5678);
    },
  },
];
