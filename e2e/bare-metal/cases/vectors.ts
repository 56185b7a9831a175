import assert from 'node:assert/strict';
import type { BareMetalCase } from './case.ts';

/** Not for a KVM that interprets the guest's code: it has no MMX. */
export const vectorCases: readonly BareMetalCase[] = [
  {
    name: 'SSE needs CR4.OSFXSR, which MMX does not; CR0.TS makes both #NM',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          load_idt
          movq %cr0, %rbx
          andq $~0xc, %rbx # neither EM nor TS
          movq %rbx, %cr0
          movq %cr4, %rbx
          andq $~0x200, %rbx
          movq %rbx, %cr4
          movl $0x1234, %ecx
          movd %ecx, %mm0
          movd %mm0, %eax
          outl %eax, $0x80
          movd %ecx, %xmm0
          movd %xmm0, %eax
          outl %eax, $0x80
          exit 0
          invalid:
          show $6
          orq $0x200, %rbx
          movq %rbx, %cr4
          movq %cr0, %rdx
          orq $8, %rdx
          movq %rdx, %cr0
          iretq
          unavailable:
          show $7
          clts
          iretq
          .balign 16
          idt:
          gates_to invalid 7
          gate unavailable
          .fill 4096 - 8 * 16, 1, 0`,
      });
      const expected = [0x1234, 6, 7, 0x1234].map((value) => `port write 80.4 ${value.toString(16).padStart(8, '0')}`);
      assert.deepEqual((await guest.finish()).accesses, expected);
    },
  },
];
