import assert from 'node:assert/strict';
import { MMIO_BASE } from '../prelude.ts';
import type { BareMetalCase } from './case.ts';

export const basicCases: readonly BareMetalCase[] = [
  {
    name: 'real mode adds',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          movw $1200, %ax
          addw $34, %ax
          outw %ax, $0x80
          exit 7`,
      });
      assert.deepEqual(await guest.finish(), { code: 7, accesses: ['port write 80.2 04d2'] });
    },
  },
  {
    name: 'the registers are those that the guest left',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          movl $0x12345678, %ebx
          stc
          outb %al, $EXIT
          hlt`,
      });
      await guest.finish();
      const { rbx, rip, rflags } = await guest.vcpu.getRegisters();
      assert.deepEqual([rbx, rip, rflags], [0x1234_5678n, 0x8000n + 9n, 3n]);
    },
  },
  {
    name: 'port I/O at widths 1, 2 and 4',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          movl $0xffffffff, %eax
          inb $0x80, %al
          movw $0x1234, %dx
          outl %eax, %dx
          inw %dx, %ax
          outl %eax, %dx
          inl %dx, %eax
          outl %eax, %dx
          outw %ax, %dx
          outb %al, %dx
          exit 0`,
      });
      assert.deepEqual((await guest.finish()).accesses, [
        'port read 80.1',
        'port write 1234.4 ffffff11',
        'port read 1234.2',
        'port write 1234.4 ffff2322',
        'port read 1234.4',
        'port write 1234.4 36353433',
        'port write 1234.2 3433',
        'port write 1234.1 33',
      ]);
    },
  },
  {
    name: 'rep outsb and rep outsw write a string to one port',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          cld
          movw $0x99, %dx
          movw $(ORIGIN + text - start), %si
          movw $5, %cx
          rep outsb
          movw $(ORIGIN + text - start), %si
          movw $2, %cx
          rep outsw
          exit 0
          text: .ascii "hello"`,
      });
      const bytes = [...'hello'].map((c) => `port write 99.1 ${c.charCodeAt(0).toString(16)}`);
      assert.deepEqual((await guest.finish()).accesses, [...bytes, 'port write 99.2 6568', 'port write 99.2 6c6c']);
    },
  },
  {
    name: 'rep insb reads a string from one port',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          cld
          movw $0x99, %dx
          movw $0x6000, %di
          movw $3, %cx
          rep insb
          movw $2, %cx
          rep insw
          exit 0`,
      });
      const { accesses } = await guest.finish();
      assert.deepEqual(accesses, [...Array(3).fill('port read 99.1'), ...Array(2).fill('port read 99.2')]);
      assert.deepEqual([...guest.vm.memory.slice(0x6000, 8)], [0x11, 0x22, 0x33, 0x44, 0x45, 0x55, 0x56, 0]);
    },
  },
  {
    name: 'protected mode reads and writes MMIO at widths 1, 2 and 4',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'protected',
        source: `.code32
          movl $MMIO, %ebx
          movl $0xffffffff, %eax
          movb (%ebx), %al
          movl %eax, 4(%ebx)
          movw 2(%ebx), %ax
          movl %eax, 4(%ebx)
          movl 8(%ebx), %eax
          movw %ax, 6(%ebx)
          movb %al, 7(%ebx)
          exit 0`,
      });
      assert.deepEqual((await guest.finish()).accesses, [
        'mmio read d0000000.1',
        'mmio write d0000004.4 ffffff11',
        'mmio read d0000002.2',
        'mmio write d0000004.4 ffff2322',
        'mmio read d0000008.4',
        'mmio write d0000006.2 3433',
        'mmio write d0000007.1 33',
      ]);
    },
  },
  {
    name: 'long mode reads and writes MMIO at width 8',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movl $MMIO, %ebx
          movq 0x10(%rbx), %rax
          movq %rax, 0x20(%rbx)
          exit 0`,
      });
      const accesses = ['mmio read d0000010.8', 'mmio write d0000020.8 1817161514131211'];
      assert.deepEqual(await guest.finish(), { code: 0, accesses });
    },
  },
  {
    name: 'an MMIO store across the edge of a page arrives in full',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          movl $MMIO, %ebx
          movabsq $0x8877665544332211, %rax
          movq %rax, 0xffd(%rbx)
          exit 0`,
      });
      const bytes = new Map<number, number>();
      for (const access of (await guest.finish()).accesses) {
        const [, address, value] = /^mmio write (\w+)\.\d (\w+)$/.exec(access)!;
        const parts = value!.match(/../g)!.reverse();
        for (const [i, byte] of parts.entries())
          bytes.set(Number.parseInt(address!, 16) + i, Number.parseInt(byte, 16));
      }
      const expected = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88].map((byte, i) => [MMIO_BASE + 0xffd + i, byte]);
      assert.deepEqual([...bytes].sort(), expected);
    },
  },
  {
    name: 'string instructions reach MMIO, element by element',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'long',
        source: `
          cld
          movl $MMIO, %edi
          movl $0xabcd, %eax
          movl $2, %ecx
          rep stosw
          movl $MMIO, %esi
          movl $0x60000, %edi
          movl $2, %ecx
          rep movsb
          exit 0`,
      });
      assert.deepEqual((await guest.finish()).accesses, [
        'mmio write d0000000.2 abcd',
        'mmio write d0000002.2 abcd',
        'mmio read d0000000.1',
        'mmio read d0000001.1',
      ]);
      assert.equal(guest.vm.memory.getU16(0x6_0000), 0x2211);
    },
  },
  {
    name: 'a store to memory is seen by the VMM, and the other way round',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'protected',
        source: `.code32
          movl 0x60000, %eax
          notl %eax
          movl %eax, 0x60004
          exit 0`,
      });
      guest.vm.memory.setU32(0x6_0000, 0x1234_5678);
      await guest.finish();
      assert.equal(guest.vm.memory.getU32(0x6_0004), 0xedcb_a987);
    },
  },
  {
    name: 'a kick ends a loop, and the guest runs on afterwards',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          mark 1
          1: cmpb $0, 0x6000
          je 1b
          exit 5`,
      });
      const run = guest.run();
      await guest.mark(1);
      guest.vm.kick(0);
      assert.deepEqual((await run).exit, { reason: 'kicked' });
      guest.vm.memory.setU8(0x6000, 1);
      assert.equal((await guest.finish()).code, 5);
    },
  },
  {
    name: 'no kick is lost, whenever it comes',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'real',
        source: `.code16
          1: inb $0x80, %al
          jmp 1b`,
      });
      for (let i = 0; i < 200; i++) {
        const run = guest.run();
        guest.vm.kick(0);
        assert.deepEqual((await run).exit, { reason: 'kicked' });
      }
    },
  },
  {
    name: 'a kick before the run ends it at once',
    async run(harness) {
      await using guest = await harness.start({ mode: 'real', source: '.code16\n exit 5' });
      guest.vm.kick(0);
      const { exit, code } = await guest.run();
      assert.deepEqual([exit.reason, code], ['kicked', undefined]);
      assert.equal((await guest.finish()).code, 5);
    },
  },
  {
    name: 'a triple fault is a shutdown',
    async run(harness) {
      await using guest = await harness.start({
        mode: 'protected',
        source: `.code32
          lidt (ORIGIN + empty - start)
          ud2
          exit 1
          empty: .word 0
          .long 0`,
      });
      assert.deepEqual((await guest.run()).exit, { reason: 'shutdown' });
    },
  },
];
