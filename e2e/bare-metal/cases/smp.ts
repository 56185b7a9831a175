import assert from 'node:assert/strict';
import { ORIGIN } from '../prelude.ts';
import type { BareMetalCase } from './case.ts';
import { withInterrupts } from './interrupts.ts';

/** Sends INIT and then a start-up IPI to `destination`, which starts in real mode at ORIGIN + 0x1000. */
const wakeCpu = (destination: number): string => `
  movl $${destination << 24}, 0x310(%rbx)
  movl $0x4500, 0x300(%rbx)
  movl $${destination << 24}, 0x310(%rbx)
  movl $${0x4600 | ((ORIGIN + 0x1000) >> 12)}, 0x300(%rbx)`;

export const smpCases: readonly BareMetalCase[] = [
  {
    name: 'INIT and SIPI start the second vCPU in real mode',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        cpus: 2,
        source: `
          jmp boot
          .org 0x1000
          .code16
          movw %cs, %ax
          outw %ax, $0x80
          movb $1, %cs:(0x10)
          exit 2
          .code64
          boot:
          movl $LAPIC, %ebx
          movl $0x1ff, 0xf0(%rbx)
          ${wakeCpu(1)}
          1: cmpb $1, ${ORIGIN + 0x1010}
          jne 1b
          exit 1`,
      });
      assert.equal(await guest.vcpus[1]!.getMpState(), 'uninitialized');
      const second = guest.run({ id: 1 });
      assert.equal((await guest.finish()).code, 1);
      const { code, accesses } = await second;
      assert.deepEqual([code, accesses], [2, ['port write 80.2 0900']]);
    },
  },
  {
    name: 'a vCPU that waits for INIT can be kicked',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', cpus: 2, source: '.code16\n exit 0' });
      const second = guest.run({ id: 1 });
      guest.vm.kick(1);
      assert.deepEqual((await second).exit, { reason: 'kicked' });
      assert.equal((await guest.finish()).code, 0);
    },
  },
  {
    name: 'an IPI to itself arrives',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withInterrupts('movl $0x40041, 0x300(%rbx)\n sti\n 1: hlt\n jmp 1b', 'exit 1'),
      });
      assert.equal((await guest.finish()).code, 1);
    },
  },
  {
    name: 'vCPUs that do not exist cannot be kicked or attached',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n exit 0' });
      assert.throws(() => guest.vm.kick(1), RangeError);
      assert.throws(() => guest.vm.handle(1), RangeError);
    },
  },
];
