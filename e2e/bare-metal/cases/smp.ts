import assert from 'node:assert/strict';
import { registersAtOrigin, STACK_TOP } from '../machine-state.ts';
import { ORIGIN } from '../prelude.ts';
import type { BareMetalCase } from './case.ts';
import { withInterrupts } from './interrupts.ts';

/** Sends INIT and then a start-up IPI to `destination`, which starts in real mode at ORIGIN + 0x1000. */
const wakeCpu = (destination: number): string => `
  send_ipi $${destination << 24}, $0x4500
  send_ipi $${destination << 24}, $${0x4600 | ((ORIGIN + 0x1000) >> 12)}`;

/** Sends vector 0x41 to the CPU whose id stands in the top byte of EDI, once both are ready, and waits for its own. */
const PING = withInterrupts(
  `# A LAPIC that is not enabled yet would drop the interrupt.
  lock incl 0x6000
  1: cmpl $2, 0x6000
  jne 1b
  send_ipi %edi, $0x4041
  sti
  1: hlt
  jmp 1b`,
  'exit 1',
);

export const smpCases: readonly BareMetalCase[] = [
  {
    name: 'INIT and SIPI start the second vCPU in real mode',
    needs: ['smp'],
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
    name: 'a broadcast starts three vCPUs, which count themselves in memory',
    needs: ['smp'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        cpus: 4,
        source: `
          jmp boot
          .org 0x1000
          .code16
          lock incl 0x6000
          exit 2
          .code64
          boot:
          movl $LAPIC, %ebx
          movl $0x1ff, 0xf0(%rbx)
          movl $0xc4500, 0x300(%rbx)
          movl $${0xc_4600 | ((ORIGIN + 0x1000) >> 12)}, 0x300(%rbx)
          1: cmpl $3, 0x6000
          jne 1b
          exit 1`,
      });
      const others = [1, 2, 3].map((id) => guest.run({ id }));
      assert.equal((await guest.finish()).code, 1);
      assert.deepEqual(
        (await Promise.all(others)).map(({ code }) => code),
        [2, 2, 2],
      );
    },
  },
  {
    name: 'vCPUs interrupt each other by IPI',
    needs: ['smp'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        cpus: 2,
        source: PING,
      });
      // Both vCPUs run the same code; each is told the other's id.
      const state = await guest.vcpu.getSystemRegisters();
      for (const [id, vcpu] of guest.vcpus.entries()) {
        await vcpu.setMpState('runnable');
        await vcpu.setSystemRegisters({ ...state, apicBase: (await vcpu.getSystemRegisters()).apicBase });
        await vcpu.setRegisters({
          ...registersAtOrigin(),
          rsp: BigInt(STACK_TOP - 0x400 * id),
          rdi: BigInt(1 - id) << 24n,
        });
      }
      const runs = await Promise.all([guest.run(), guest.run({ id: 1 })]);
      assert.deepEqual(
        runs.map(({ code }) => code),
        [1, 1],
      );
    },
  },
  {
    name: 'a vCPU that waits for INIT can be kicked',
    needs: ['smp'],
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
