/** 32-bit code: flat segments, whose accesses need no check, and others, whose every access does (SDM vol. 3, 5.3-5.5). */
import assert from 'node:assert/strict';
import type { BareMetalCase } from './case.ts';

/**
 * Segments with these selectors, handlers of #SS and #GP, and then `body`, which starts in flat 32-bit code.
 * - `outcome insn` writes ok to a port, or the vector and error code of the fault that the instruction meets. Uses EDX.
 * - `set register, selector` loads a segment register. Uses EAX.
 */
const withSegments = (body: string): string => `
.code32
.set CODE, 8           # flat
.set DATA, 16          # flat
.set SMALL, 24         # 256 bytes from 0x60000 on
.set DOWN, 32          # expand-down from 0x60000 on: not the first 4096 bytes
.set READ_ONLY, 40     # flat
.set EXECUTE_ONLY, 48  # flat
.set STACK, 56         # up to 0x8fff
.set CODE16, 64        # flat, but of 16 bits
.set NEAR_CODE, 72     # 32-bit code up to 0xffff
.set DOWN16, 80        # as DOWN, but up to 0xffff
.macro at register label
  movl $(ORIGIN + \\label - start), %\\register
.endm
.macro set register selector
  movl $\\selector, %eax
  movl %eax, %\\register
.endm
.macro outcome insn:vararg
  at edx 8f
  \\insn
  pushl %eax
  show $0x600d
  popl %eax
8:
.endm
.macro gate32 label
  .word (ORIGIN + \\label - start) & 0xffff, CODE, 0x8e00, (ORIGIN + \\label - start) >> 16
.endm
  lgdt (ORIGIN + gdtr - start)
  lidt (ORIGIN + idtr - start)
  ljmp $CODE, $(ORIGIN + flat - start)
flat:
  set ds DATA
  set es DATA
  set ss DATA
  set fs DATA
  set gs DATA
  ${body}
  exit 0
stack_fault:
  movl $12, %eax
  jmp report
general_protection:
  movl $13, %eax
report:
  shll $16, %eax
  orl %eax, (%esp)
  popl %eax
  outl %eax, $0x80
  movl %edx, (%esp)
  # As IRET, but without the flags: a KVM that interprets its guests does not know IRET in protected mode.
  lret $4
gdtr: .word 11 * 8 - 1
  .long ORIGIN + gdt - start
idtr: .word 14 * 8 - 1
  .long ORIGIN + idt - start
.balign 8
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00409306000000ff, 0x0040970600000fff
  .quad 0x00cf91000000ffff, 0x00cf99000000ffff, 0x0040930000008fff, 0x008f9b000000ffff, 0x00409b000000ffff
  .quad 0x0000970600000fff
idt: .fill 12, 8, 0
  gate32 stack_fault
  gate32 general_protection
`;

const OK = '0000600d';
const GP = '000d0000';
const SS = '000c0000';

/** A case whose guest writes these words, in hexadecimal, to port 0x80. */
function segmentCase(name: string, body: string, expected: readonly string[]): BareMetalCase {
  return {
    name,
    async run(harness) {
      await using guest = await harness.start({ mode: 'protected', source: withSegments(body) });
      const { code, accesses } = await guest.finish();
      const words = accesses.map((access) => access.replace('port write 80.4 ', ''));
      assert.deepEqual({ words, code }, { words: expected, code: 0 });
    },
  };
}

export const segmentCases: readonly BareMetalCase[] = [
  segmentCase(
    'flat 32-bit code: addresses wrap at 4 GiB',
    `movl $0xcafe, 0x60000
    movl $0x60010, %ebx
    movl $0xfffffff0, %ecx
    movl (%ebx,%ecx), %eax
    outl %eax, $0x80
    movl $0x20018000, %edx
    movl 0x80000000(,%edx,4), %eax
    outl %eax, $0x80
    leal 0x7ffffff0(%ebx,%ecx,8), %eax
    outl %eax, $0x80
    movl $1024, %ecx
    movl $0x5ff80, %ebx
    btsl %ecx, (%ebx)
    show 0x60000
    movw $0x10, %bx
    movw $0xbeef, 0x20
    movl $0xffff0010, %esi
    addr16 movw (%bx,%si), %ax
    outl %eax, $0x80`,
    ['0000cafe', '0000cafe', '8005ff80', '0000caff', '0000beef'],
  ),
  segmentCase(
    'flat 32-bit code: calls, returns and the stack',
    `movl %esp, %ebx
    at eax 1f
    call *%eax
    outl %eax, $0x80
    call 2f
    outl %eax, $0x80
    pushl $0x1234
    popl 0x60000
    pushl $0x60004
    popl %ecx
    pushl $0x4321
    popl -4(%esp)
    movl -4(%esp), %eax
    outl %eax, $0x80
    enter $16, $0
    pushl %esp
    movw $7, (%esp)
    leave
    pushw $0x55aa
    pushw $0
    popl %eax
    outl %eax, $0x80
    subl %esp, %ebx
    show %ebx
    jmp 4f
  1: movl $0x11, %eax
    ret
  2: pushl $0
    movl $0x22, %eax
    call 3f
    addl $4, %esp
    ret
  3: addl $0x33, %eax
    pushl 4(%esp)
    popl %ecx
    pushl %ecx
    call 5f
    ret
  5: ret $4
  4:`,
    ['00000011', '00000055', '00004321', '55aa0000', '00000000'],
  ),
  segmentCase(
    'a segment limit is met by reads, writes and operands that reach over it',
    `set ds SMALL
    outcome movl $0x1234, 0xfc
    outcome movl $0x1234, 0xfd
    outcome movb $1, 0xff
    outcome movb 0x100, %al
    outcome addl $1, 0xfd
    outcome movl 0xffffffff, %eax
    set fs SMALL
    outcome movw %fs:0xfe, %ax
    outcome movw %fs:0xff, %ax
    show %es:0x600fc
    set es SMALL
    cld
    movl $0xf0, %edi
    movl $0x20, %ecx
    outcome rep stosb
    show %ecx
    show %edi`,
    [OK, GP, OK, GP, GP, GP, OK, GP, '01001234', GP, '00000010', '00000100'],
  ),
  segmentCase(
    'an expand-down segment is what lies above its limit',
    `set ds DOWN
    outcome movb 0xfff, %al
    outcome movl $0x77, 0x1000
    outcome movw 0xfff, %ax
    outcome movb 0xffffffff, %al
    show %es:0x61000
    set ds DOWN16
    outcome movb 0xfff, %al
    outcome movb 0x1000, %al
    outcome movw 0xfffe, %ax
    outcome movw 0xffff, %ax
    outcome movb 0x10000, %al`,
    [GP, OK, GP, OK, '00000077', GP, OK, OK, GP, GP],
  ),
  segmentCase(
    'what a segment is for: read-only data, code that only executes, null',
    `set ds READ_ONLY
    outcome movl 0x60000, %eax
    outcome movl %eax, 0x60000
    outcome cmpl $1, 0x60000
    outcome xchgl %eax, 0x60000
    outcome movl $EXECUTE_ONLY, %eax
    outcome movl %eax, %ds
    xorl %eax, %eax
    movl %eax, %ds
    outcome movl 0x60000, %eax
    outcome movl %es:0x60000, %eax
    outcome movl %eax, %cs:0x60000
    outcome movl %cs:0x60000, %eax
    ljmp $EXECUTE_ONLY, $(ORIGIN + 1f - start)
  1: outcome movl %cs:0x60000, %eax
    set ds DATA
    outcome movl 0x60000, %eax`,
    [OK, GP, OK, GP, OK, '000d0030', GP, OK, GP, OK, GP, OK],
  ),
  segmentCase(
    'the limit of the stack segment gives #SS',
    `set ss STACK
    movl $0x9000, %ebp
    outcome movl -4(%ebp), %eax
    outcome movl -3(%ebp), %eax
    outcome movl %eax, (%ebp)
    outcome movl %ds:(%ebp), %eax
    outcome movl %ss:0x9000, %eax
    outcome leave
    pushl $0x5678
    popl %eax
    outl %eax, $0x80`,
    [OK, SS, SS, OK, SS, SS, '00005678'],
  ),
  segmentCase(
    'a branch beyond the limit of the code segment faults at the branch',
    `.macro beyond opcode:vararg  # with a displacement that leads to 0x12345
      .byte \\opcode
      .long 0x12345 - ORIGIN - (. + 4 - start)
    .endm
    ljmp $NEAR_CODE, $(ORIGIN + 1f - start)
  1: movl $0x12345, %ecx
    xorl %ebx, %ebx
    outcome jmp *%ecx
    outcome call *%ecx
    outcome beyond 0xe9
    outcome beyond 0xe8
    testl %ebx, %ebx
    outcome beyond 0x0f, 0x84
    testl %ebx, %ebx
    outcome beyond 0x0f, 0x85
    pushl $0x12345
    outcome ret
    popl %eax
    outl %eax, $0x80`,
    [GP, GP, GP, GP, GP, OK, GP, '00012345'],
  ),
  segmentCase(
    '16-bit code in flat segments',
    `movl $0xabcd0000, %eax
    ljmp $CODE16, $(ORIGIN + 1f - start)
  .code16
  1: movw $0x60, %bx
    movl $0x1234, (%bx)
    movl $0x60000, %ebx
    movl (0x60), %ecx
    movl %ecx, (%ebx)
    pushw %cx
    callw 2f
    calll 6f
    popw %ax
    outl %eax, $0x80
    cmpw $0x1234, %ax
    jne 3f
    movl $3, %ecx
  4: incl %eax
    loop 4b
    addr32 movl (%ebx), %ecx
    addl %ecx, %eax
    outl %eax, $0x80
    ljmpl $CODE, $(ORIGIN + 5f - start)
  2: retw
  6: retl
  3: hlt
  .code32
  5: show $0x600d`,
    ['abcd1234', 'abcd246b', OK],
  ),
];
