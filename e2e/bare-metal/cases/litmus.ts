/** In which order vCPUs see each other's stores (Intel SDM vol. 3, 9.2), and code that one writes for another (9.1.3). */
import assert from 'node:assert/strict';
import type { BareMetalCase } from './case.ts';
import { DATA, runTogether, SHARED, together } from './together.ts';

const ROUNDS = 2000;
/** In cache lines of their own. */
const [X, FLAG, ACK, MEETING] = [SHARED, SHARED + 0x40, SHARED + 0x80, SHARED + 0xc0];
/** Cache lines for one vCPU's stores, and where the other's are behind them. */
const LINES = 16_000;
const HALF = 0x20_0000;

/**
 * Each vCPU stores to a word, and loads the one that the other stores to: with a full barrier in between, not both can
 * miss the other's store. The words of each round are in cache lines that nobody has touched before.
 */
const storeBuffering = (barrier: string): string =>
  together(`
    movl $${DATA}, %esi
    movl $${DATA + HALF}, %edx
    testl %edi, %edi
    jz 1f
    xchgl %esi, %edx
    1: movl $${LINES}, %r11d
    round:
    testl $15, %r11d
    jnz 1f
    # Together again, and without PAUSE, so that the stores come at the same moment.
    addl %r14d, %r15d
    lock incl ${MEETING}
    2: cmpl %r15d, ${MEETING}
    jl 2b
    1: movl $1, (%rsi)
    ${barrier}
    movl (%rdx), %eax
    movl %eax, 4(%rsi)
    addl $64, %esi
    addl $64, %edx
    decl %r11d
    jnz round
    addl %r14d, %r15d
    lock incl ${MEETING}
    1: cmpl %r15d, ${MEETING}
    jl 1b
    movl $${DATA}, %esi
    movl $${LINES}, %ecx
    1: movl 4(%rsi), %eax
    orl ${HALF + 4}(%rsi), %eax
    jz 2f
    addl $64, %esi
    loop 1b
    exit 1
    2: exit 2`);

/** One vCPU stores data, then a flag; the other, when it sees the flag, must see the data. */
const MESSAGE_PASSING = together(`
  movl $1, %ecx
  testl %edi, %edi
  jnz reader
  writer:
  movl %ecx, ${X}
  movl %ecx, ${FLAG}
  incl %ecx
  cmpl $${20 * ROUNDS}, %ecx
  jne writer
  exit 1
  reader:
  movl ${FLAG}, %eax
  cmpl %eax, ${X}
  jb wrong
  cmpl $${20 * ROUNDS - 1}, %eax
  jne reader
  exit 1
  wrong: exit 2`);

/** vCPU 0 changes what function returns; vCPU 1, when told, executes a serializing instruction and calls it. */
const crossModifying = (where: string, change = 'movl %r12d, 1(%rbp)'): string =>
  together(`
    movl $1, %r12d
    ${where}
    testl %edi, %edi
    jnz caller
    # mov $imm32, %eax; ret
    movb $0xb8, (%rbp)
    movb $0xc3, 5(%rbp)
    write:
    ${change}
    movl %r12d, ${FLAG}
    1: pause
    cmpl %r12d, ${ACK}
    jne 1b
    incl %r12d
    cmpl $${ROUNDS}, %r12d
    jne write
    exit 1
    caller:
    1: pause
    cmpl %r12d, ${FLAG}
    jne 1b
    xorl %eax, %eax
    cpuid
    call *%rbp
    cmpl %r12d, %eax
    jne 2f
    movl %r12d, ${ACK}
    incl %r12d
    cmpl $${ROUNDS}, %r12d
    jne caller
    exit 1
    2: exit 2
    .balign 8
    .skip 3
    function: .skip 8`);

/** Both vCPUs answer each interrupt of the other with one, and sleep in between. */
const PING_PONG = together(
  `movl $${ROUNDS / 10}, %r12d
  movl %edi, %ecx
  xorl $1, %ecx
  shll $24, %ecx
  barrier
  testl %edi, %edi
  jnz 1f
  send_ipi %ecx, $0x4041
  1: sti
  hlt
  jmp 1b
  ping:
  end_of_interrupt
  send_ipi %ecx, $0x4041
  decl %r12d
  jz 2f
  iretq
  2: exit 1`,
  { 65: 'ping' },
);

/** vCPU 0 sends an NMI to vCPU 1, which sleeps with interrupts off. */
const NMI = together(
  `barrier
  testl %edi, %edi
  jnz 1f
  send_ipi $0x01000000, $0x4400
  exit 1
  1: hlt
  jmp 1b
  nmi: exit 1`,
  { 2: 'nmi' },
);

const litmus = (name: string, source: string, needs: BareMetalCase['needs'] = []): BareMetalCase => ({
  name,
  needs: ['smp', ...needs!],
  async run(harness) {
    assert.deepEqual(await runTogether(harness, { cpus: 2, source }), [1, 1]);
  },
});

const FULL_BARRIERS: Readonly<Record<string, string>> = {
  MFENCE: 'mfence',
  'a locked instruction': 'lock addl $0, -8(%rsp)',
  'a locked instruction that is not aligned': 'lock addl $0, -6(%rsp)',
  'XCHG with memory': 'xchgl %eax, -8(%rsp)',
  CPUID: 'movl %ebx, %r8d\n movl %edx, %r9d\n cpuid\n movl %r8d, %ebx\n movl %r9d, %edx',
};

export const litmusCases: readonly BareMetalCase[] = [
  ...Object.entries(FULL_BARRIERS).map(([name, code]) =>
    litmus(`${name} makes a vCPU's store visible before its next load`, storeBuffering(code)),
  ),
  litmus('stores become visible in their order', MESSAGE_PASSING),
  litmus(
    'code that another vCPU wrote is executed as it is, after a handshake and CPUID',
    crossModifying(`movl $${DATA}, %ebp`),
  ),
  litmus(
    'code that another vCPU wrote, in a page that both execute, is executed as it is',
    crossModifying('movl $(ORIGIN + function - start), %ebp'),
  ),
  litmus(
    'code that another vCPU changed by a locked instruction is executed as it is',
    crossModifying(`movl $${DATA}, %ebp`, 'lock incl 1(%rbp)'),
  ),
  litmus('vCPUs interrupt each other again and again, and sleep in between', PING_PONG),
  litmus('an NMI from another vCPU wakes one that sleeps', NMI),
];
