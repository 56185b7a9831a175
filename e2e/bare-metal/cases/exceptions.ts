import assert from 'node:assert/strict';
import { PAGE_TABLE } from '../machine-state.ts';
import type { BareMetalCase } from './case.ts';

/** An IDT where every vector up to 31 leads to `handler`, and the rest of the guest's text. */
const withHandler = (source: string, handler: string): string => `
  load_idt
  ${source}
  handler:
  ${handler}
  .balign 16
  idt: gates_to handler 32
  .fill 4096 - 32 * 16, 1, 0
`;

/** Reports what the CPU pushed: error code, RIP, CS, RFLAGS, RSP, SS. */
const REPORT_ERROR_FRAME = `
  movl $0x80, %edx
  .rept 6
  popq %rax
  outl %eax, %dx
  .endr
  exit 0`;

const longWords = (accesses: readonly string[]): number[] =>
  accesses.map((access) => Number.parseInt(access.slice(access.lastIndexOf(' ') + 1), 16));

export const exceptionCases: readonly BareMetalCase[] = [
  {
    name: 'long mode runs 64-bit code',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movabsq $0x123456789abcdef0, %r11
          pushq %r11
          popq %rax
          shrq $32, %rax
          outl %eax, $0x80
          exit 0`,
      });
      assert.deepEqual(await guest.finish(), { code: 0, accesses: ['port write 80.4 12345678'] });
    },
  },
  {
    name: 'paging translates: two virtual pages show one physical page',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movl $0xcafe, 0x60008
          show 0x61008
          exit 0`,
      });
      guest.vm.memory.setU64(PAGE_TABLE + 8 * 0x61, 0x6_0003);
      assert.deepEqual((await guest.finish()).accesses, ['port write 80.4 0000cafe']);
      assert.equal(await guest.vcpu.translate(0x6_1008n), 0x6_0008);
    },
  },
  {
    name: 'paging sets accessed and dirty bits',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movl 0x60000, %eax
          movl %eax, 0x61000
          exit 0`,
      });
      await guest.finish();
      const entry = (page: number) => guest.vm.memory.getU64(PAGE_TABLE + 8 * page) & 0x60;
      assert.deepEqual([entry(0x60), entry(0x61), entry(0x62)], [0x20, 0x60, 0]);
    },
  },
  {
    name: 'a page fault has CR2, an error code and a frame; iretq tries again',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withHandler(
          `1: movl $1, 0x60123
          exit 9`,
          `movq %cr2, %rax
          outl %eax, $0x80
          popq %rax
          outl %eax, $0x81
          # Map the page, and run the store again.
          orl $3, ${PAGE_TABLE + 8 * 0x60}
          invlpg 0x60000
          iretq`,
        ),
      });
      guest.vm.memory.setU64(PAGE_TABLE + 8 * 0x60, 0x6_0000);
      const accesses = ['port write 80.4 00060123', 'port write 81.4 00000002'];
      assert.deepEqual(await guest.finish(), { code: 9, accesses });
      assert.equal(guest.vm.memory.getU32(0x6_0123), 1);
    },
  },
  {
    name: 'a store to a read-only page faults under CR0.WP, and not without',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withHandler(
          `movb $1, 0x60000
          movq %cr0, %rax
          orl $0x10000, %eax
          movq %rax, %cr0
          movb $2, 0x60000
          exit 9`,
          `popq %rax
          outl %eax, $0x80
          exit 3`,
        ),
      });
      guest.vm.memory.setU64(PAGE_TABLE + 8 * 0x60, 0x6_0001);
      assert.deepEqual(await guest.finish(), { code: 3, accesses: ['port write 80.4 00000003'] });
      assert.equal(guest.vm.memory.getU8(0x6_0000), 1);
    },
  },
  {
    name: 'an invalid selector raises #GP with the selector as its error code',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withHandler(
          `movl $0x58, %eax
          movw %ax, %ds
          exit 9`,
          REPORT_ERROR_FRAME,
        ),
      });
      const [error, rip, cs, rflags, rsp, ss] = longWords((await guest.finish()).accesses);
      assert.deepEqual([error, cs, rsp, ss], [0x58, 8, 0x7ff0, 16]);
      assert.equal(guest.vm.memory.getU8(rip!), 0x8e, 'RIP is at the movw');
      assert.equal(rflags! & 2, 2);
    },
  },
  {
    name: 'an access by a non-canonical address raises #GP with error code 0',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withHandler(
          `movabsq $0x8000000000000000, %rbx
          movb (%rbx), %al
          exit 9`,
          REPORT_ERROR_FRAME,
        ),
      });
      const [error, rip] = longWords((await guest.finish()).accesses);
      assert.deepEqual([error, guest.vm.memory.getU16(rip!)], [0, 0x038a]);
    },
  },
  {
    name: 'ud2 raises #UD; the handler steps over it and returns',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withHandler('ud2\n exit 6', 'outb %al, $0x80\n addq $2, (%rsp)\n iretq'),
      });
      assert.deepEqual(await guest.finish(), { code: 6, accesses: ['port write 80.1 00'] });
    },
  },
  {
    name: 'a division by zero raises #DE at the division',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withHandler(
          `xorl %ecx, %ecx
          movl $5, %eax
          xorl %edx, %edx
          divl %ecx
          exit 8`,
          `movq (%rsp), %rax
          outl %eax, $0x80
          movl $1, %ecx
          iretq`,
        ),
      });
      const { code, accesses } = await guest.finish();
      assert.equal(code, 8);
      assert.equal(guest.vm.memory.getU16(longWords(accesses)[0]!), 0xf1f7);
      assert.equal((await guest.vcpu.getRegisters()).rcx, 1n);
    },
  },
  {
    name: 'int3 and int n go through their gates and come back',
    needs: ['software-interrupts'],
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: withHandler('int3\n int $0x10\n exit 2', 'outb %al, $0x80\n iretq'),
      });
      assert.deepEqual(await guest.finish(), { code: 2, accesses: Array(2).fill('port write 80.1 00') });
    },
  },
  {
    name: 'no page is mapped where translate says so',
    async run(harness) {
      await using guest = await harness.start({ mode: 'long', source: 'exit 0' });
      guest.vm.memory.setU64(PAGE_TABLE + 8 * 0x60, 0);
      await guest.finish();
      assert.equal(await guest.vcpu.translate(0x6_0000n), undefined);
      assert.equal(await guest.vcpu.translate(0x100_0000_0000n), undefined);
      assert.equal(await guest.vcpu.translate(0x40_1234n), 0x40_1234);
    },
  },
];
