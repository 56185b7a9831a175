/** Mappings that one vCPU changes while another one uses them. */
import assert from 'node:assert/strict';
import { PAGE_TABLE } from '../machine-state.ts';
import type { BareMetalCase } from './case.ts';
import { runTogether, SHARED, together } from './together.ts';

/** A page that the tables of the harness map by an entry of its own. */
const PAGE = 0x5000;
const ENTRY = PAGE_TABLE + (PAGE >> 12) * 8;
const [USED, DONE] = [SHARED, SHARED + 0x40];
const ROUNDS = 200_000;
/** How often vCPU 0 looks whether a cleared entry stays clear. */
const LOOKS = 5;

/** Waits until another vCPU has set a word. */
const until = (word: number): string => `
  1: pause
  cmpl $0, ${word}
  je 1b`;

/**
 * vCPU 1 uses the page over and over; vCPU 0 changes the page's entry, has vCPU 1 forget the page by an interrupt, and
 * goes on when that is done. The next use must fault. CR0.WP is set.
 */
const shootDown = (parts: { use: string; change: string; after: string; onFault: string }): string =>
  together(
    `movq %cr0, %rax
    orq $0x10000, %rax
    movq %rax, %cr0
    barrier
    testl %edi, %edi
    jnz user
    ${until(USED)}
    ${parts.change}
    send_ipi $0x01000000, $0x4041
    ${until(DONE)}
    ${parts.after}
    user:
    sti
    1: ${parts.use}
    movl $1, ${USED}
    jmp 1b
    forget:
    invlpg ${PAGE}
    end_of_interrupt
    movl $1, ${DONE}
    iretq
    fault: ${parts.onFault}`,
    { 14: 'fault', 65: 'forget' },
  );

const UNMAP = shootDown({
  use: `movl ${PAGE}, %eax`,
  change: `movq $0, ${ENTRY}`,
  after: 'exit 1',
  onFault: `
    cmpl $1, ${DONE}
    jne 2f
    movq %cr2, %rax
    cmpq $${PAGE}, %rax
    jne 2f
    exit 1
    2: exit 2`,
});

/** There is no way left to write to the page, whichever privilege or kind of store it was. */
const WRITE_PROTECT = shootDown({
  use: `lock incl ${PAGE}
    incl ${PAGE}`,
  change: `lock btrq $1, ${ENTRY}`,
  // Nothing may change any more.
  after: `
    movl ${PAGE}, %eax
    movl $1000, %ecx
    1: cmpl ${PAGE}, %eax
    jne 2f
    loop 1b
    exit 1
    2: exit 2`,
  onFault: 'exit 1',
});

/**
 * vCPU 1 writes to a page, and forgets it each time, so that its processor sets the accessed and dirty bits; vCPU 0
 * unmaps it meanwhile. The processor must not write back the entry that it has read before.
 */
const NO_RESURRECTION = together(
  `barrier
  testl %edi, %edi
  jnz user
  movl $${ROUNDS}, %r12d
  again:
  xorl %eax, %eax
  xchgq %rax, ${ENTRY}
  movl $${LOOKS}, %ecx
  1: cmpq $0, ${ENTRY}
  jne 3f
  loop 1b
  movq $${PAGE + 3}, ${ENTRY}
  # Another while each time, in which the other one may use it.
  leal (%r12, %r12, 8), %ecx
  andl $63, %ecx
  incl %ecx
  1: loop 1b
  decl %r12d
  jnz again
  movl $1, ${DONE}
  exit 1
  3: movl $1, ${DONE}
  exit 2
  user:
  cmpl $0, ${DONE}
  jne 4f
  invlpg ${PAGE}
  movl $0, ${PAGE}
  next:
  jmp user
  4: exit 1
  gone:
  # Without the page, on to the next round.
  movq $(ORIGIN + next - start), 8(%rsp)
  addq $8, %rsp
  iretq`,
  { 14: 'gone' },
);

const shootdown = (name: string, source: string): BareMetalCase => ({
  name,
  needs: ['smp', 'locked-instructions'],
  async run(harness) {
    assert.deepEqual(await runTogether(harness, { cpus: 2, source }), [1, 1]);
  },
});

export const shootdownCases: readonly BareMetalCase[] = [
  shootdown('a page that another vCPU unmapped, and told so by an interrupt, cannot be read', UNMAP),
  shootdown('a page that another vCPU made read-only, and told so by an interrupt, cannot be written', WRITE_PROTECT),
  shootdown('accessed and dirty bits do not bring back an entry that another vCPU has cleared', NO_RESURRECTION),
];
