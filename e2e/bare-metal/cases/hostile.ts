/**
 * Guests that misuse code and memory. All loop often enough for code to be compiled, and come to what the architecture
 * says, which is the same on all hypervisors.
 */
import assert from 'node:assert/strict';
import type { GuestMemory } from '../../../src/memory/guest-memory.ts';
import type { BareMetalHarness } from '../harness.ts';
import { PAGE_TABLE, PML4 } from '../machine-state.ts';
import type { BareMetalCase } from './case.ts';

const PAGE = 4096;
const PRESENT_WRITABLE = 3;
/** A second set of tables for the first 2 MiB. */
const OTHER_PML4 = 0x11_0000;
const OTHER_PAGE_TABLE = OTHER_PML4 + 3 * PAGE;

/**
 * A guest whose exceptions #UD, #GP and #PF are reported as their vectors at port 80 (#PF with its address at port 81),
 * and which then goes on at the address in RBP. Any other ends it with code 99.
 */
const reporting = (source: string): string => `
  load_idt
  movq %rsp, %r15
  ${source}
  invalid:
  movb $6, %al
  jmp report
  protection:
  movb $13, %al
  jmp report
  fault:
  movq %cr2, %rax
  outl %eax, $0x81
  movb $14, %al
  report:
  outb %al, $0x80
  movq %r15, %rsp
  jmp *%rbp
  other:
  exit 99
  .balign 16
  idt: gates_to other 6
  gate invalid
  gates_to other 6
  gate protection
  gate fault
  gates_to other 17
  .fill 4096 - 32 * 16, 1, 0
`;

/** Code that raises an exception, and goes on behind it. */
const attempt = (code: string): string => `
  leaq 9f(%rip), %rbp
  ${code}
  9:
`;

const reports = (...vectors: readonly number[]): string[] =>
  vectors.map((vector) => `port write 80.1 ${vector.toString(16).padStart(2, '0')}`);

const value = (access: string): number => Number.parseInt(access.slice(access.lastIndexOf(' ') + 1), 16);

/** Maps the first 2 MiB to themselves in tables at OTHER_PML4, but for page `page`, which is `to`. */
function mapOtherwise(memory: GuestMemory, page: number, to: number): void {
  for (let i = 0; i < 3 * PAGE; i += 8) memory.setU64(OTHER_PML4 + i, memory.getU64(PML4 + i));
  for (let level = 1; level <= 3; level++) {
    memory.setU64(OTHER_PML4 + (level - 1) * PAGE, OTHER_PML4 + level * PAGE + PRESENT_WRITABLE);
  }
  for (let n = 0; n < 512; n++) memory.setU64(OTHER_PAGE_TABLE + 8 * n, n * PAGE + PRESENT_WRITABLE);
  memory.setU64(OTHER_PAGE_TABLE + 8 * page, to * PAGE + PRESENT_WRITABLE);
}

const signed = (byte: number): number => (byte << 24) >> 24;

/** Runs a guest in long mode to its end; gives the numbers that it shows. */
async function shown(
  harness: BareMetalHarness,
  source: string,
  prepare?: (memory: GuestMemory) => void,
): Promise<number[]> {
  await using guest = await harness.start({ mode: 'long', source });
  prepare?.(guest.vm.memory);
  return (await guest.finish()).accesses.map(value);
}

export const hostileCases: readonly BareMetalCase[] = [
  {
    name: 'instructions are entered at their start and in their middle by turns',
    async run(harness) {
      const source = `
        movl $20000, %ecx
        xorl %ebx, %ebx
        xorl %esi, %esi
        1: testb $1, %cl
        jnz middle
        .byte 0xb8                    # mov eax, imm32
        middle: .byte 0xff, 0xc3, 0x90, 0x90   # whose constant is: inc ebx; nop; nop
        incl %esi
        decl %ecx
        jnz 1b
        show %ebx
        show %esi
        exit 0`;
      assert.deepEqual(await shown(harness, source), [10_000, 20_000]);
    },
  },
  {
    name: 'an instruction has up to 15 bytes, prefixes included, across the end of a page too',
    async run(harness) {
      const chain = (prefixes: number) => `.fill ${prefixes}, 1, 0x2e\n nop`;
      await using guest = await harness.start({
        mode: 'long',
        source: reporting(`
          movl $300, %ebx
          1:
          ${attempt(chain(14))}
          ${attempt(chain(15))}
          leaq 2f(%rip), %rbp
          movl $0x60ff9, %eax
          jmp *%rax
          2: decl %ebx
          jnz 1b
          exit 0`),
      });
      guest.vm.memory.fill(0x6_0ff9, 16, 0x66);
      const { code, accesses } = await guest.finish();
      assert.equal(code, 0);
      assert.deepEqual(accesses, Array.from({ length: 300 }, () => reports(13, 13)).flat());
    },
  },
  {
    name: 'what is no instruction raises #UD, each time',
    async run(harness) {
      const undefinedOnes = [
        '0x0f, 0x0b',
        '0xf0, 0x90',
        '0xff, 0xff',
        '0x8e, 0xc8',
        '0xf0, 0x01, 0xc0',
        '0xc6, 0xc8, 0',
      ];
      await using guest = await harness.start({
        mode: 'long',
        source: reporting(`
          movl $200, %ebx
          1:
          ${undefinedOnes.map((bytes) => attempt(`.byte ${bytes}`)).join('')}
          decl %ebx
          jnz 1b
          exit 0`),
      });
      const { code, accesses } = await guest.finish();
      assert.equal(code, 0);
      assert.deepEqual(new Set(accesses), new Set(reports(6)));
      assert.equal(accesses.length, 200 * undefinedOnes.length);
    },
  },
  {
    name: 'memory is filled with functions, again and again, and each does what was written last',
    async run(harness) {
      // inc ebx; ret and inc esi; ret by turns, in every 16 bytes of 256 KiB; each is called three times.
      const source = `
        movl $6, %r8d
        1: movl $0xc3c3ff, %eax
        testb $1, %r8b
        jz 2f
        movl $0xc3c6ff, %eax
        2: movl $0x60000, %edi
        3: movl %eax, (%rdi)
        call *%rdi
        call *%rdi
        call *%rdi
        addl $16, %edi
        cmpl $0xa0000, %edi
        jb 3b
        decl %r8d
        jnz 1b
        show %ebx
        show %esi
        exit 0`;
      const each = (3 * 3 * 0x4_0000) / 16;
      assert.deepEqual(await shown(harness, source), [each, each]);
    },
  },
  {
    name: 'CR3 changes what code an address has, while that code is changed by its other address',
    async run(harness) {
      const rounds = 20_000;
      const source = `
        movl $${PML4}, %r8d
        movl $${OTHER_PML4}, %r9d
        movl $0x60000, %edi
        movl $${rounds}, %ecx
        1: call *%rdi
        movb %cl, 0x61002
        movq %r9, %cr3
        call *%rdi
        movq %r8, %cr3
        decl %ecx
        jnz 1b
        show %ebx
        exit 0`;
      const prepare = (memory: GuestMemory) => {
        memory.write(0x6_0000, Uint8Array.of(0x83, 0xc3, 1, 0xc3)); // add ebx, 1; ret
        memory.write(0x6_1000, Uint8Array.of(0x83, 0xc3, 0, 0xc3)); // add ebx, what is written; ret
        mapOtherwise(memory, 0x60, 0x61);
      };
      let sum = 0;
      for (let n = rounds; n > 0; n--) sum += 1 + signed(n);
      assert.deepEqual(await shown(harness, source, prepare), [sum >>> 0]);
    },
  },
  {
    name: 'locked operations across pages are whole or not at all',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: reporting(`
          movl $3000, %ecx
          1: lock addl $0x10001, 0x60ffe
          lock xaddq %rbx, 0x61ffb
          decl %ecx
          jnz 1b
          ${attempt('lock addl $0x10001, 0x62ffe')}
          ${attempt('lock incq 0x64fff')}
          ${attempt('movl $1, %eax\n lock cmpxchgl %ecx, 0x64ffd')}
          exit 0`),
      });
      const { memory } = guest.vm;
      memory.setU64(PAGE_TABLE + 8 * 0x63, 0);
      memory.setU64(PAGE_TABLE + 8 * 0x65, 0);
      const { code, accesses } = await guest.finish();
      assert.equal(code, 0);
      const at = (address: number) => [`port write 81.4 ${address.toString(16).padStart(8, '0')}`, ...reports(14)];
      assert.deepEqual(accesses, [...at(0x6_3000), ...at(0x6_5000), ...at(0x6_5000)]);
      assert.equal(memory.getU32(0x6_0ffe), 3000 * 0x1_0001);
      assert.deepEqual([memory.getU16(0x6_2ffe), memory.getU8(0x6_4fff), memory.getU32(0x6_4ffc)], [0, 0, 0]);
    },
  },
  {
    name: 'code changes its next instruction, itself, and what crosses the end of its page',
    async run(harness) {
      const rounds = 4000;
      // At 60ffd, across the page's end: add ebx, imm32; ret.
      const source = `
        movl $0x60ffd, %edi
        movl $${rounds}, %ecx
        1: movb %cl, 2f - 1(%rip)
        addl $0, %esi                 # an 8-bit constant
        2: movb %cl, 0x61000
        call *%rdi
        movb %cl, 3f - 1(%rip)
        movb $0, %al
        3: movzbl %al, %eax
        addl %eax, %ebp
        decl %ecx
        jnz 1b
        show %esi
        show %ebx
        show %ebp
        exit 0`;
      const prepare = (memory: GuestMemory) => {
        memory.write(0x6_0ffd, Uint8Array.of(0x81, 0xc3, 0, 0, 0, 0, 0xc3));
      };
      let [signedSum, wideSum, plainSum] = [0, 0, 0];
      for (let n = rounds; n > 0; n--) {
        signedSum += signed(n);
        wideSum += (n & 0xff) << 8;
        plainSum += n & 0xff;
      }
      const expected = [signedSum >>> 0, wideSum, plainSum];
      assert.deepEqual(await shown(harness, source, prepare), expected);
    },
  },
  {
    name: 'a string instruction writes over the code that runs next',
    async run(harness) {
      const rounds = 3000;
      const source = `
        movl $${rounds}, %r8d
        1: leaq ones(%rip), %rsi
        testb $1, %r8b
        jz 2f
        leaq others(%rip), %rsi
        2: leaq target(%rip), %rdi
        movl $4, %ecx
        rep movsb
        target: nop
        nop
        nop
        nop
        decl %r8d
        jnz 1b
        show %ebx
        show %ebp
        exit 0
        ones: incl %ebx
        incl %ebx
        others: incl %ebp
        nop
        nop`;
      assert.deepEqual(await shown(harness, source), [rounds, rounds / 2]);
    },
  },
  {
    name: 'a handler that cannot run makes a shutdown, whatever the code was',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'protected',
        source: `.code32
          movl $0xfffffff0, %esp
          ud2`,
      });
      assert.deepEqual((await guest.run()).exit, { reason: 'shutdown' });
    },
  },
];
