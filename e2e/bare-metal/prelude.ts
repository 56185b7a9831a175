/** Where guests are loaded and start. Below are tables of the harness and the stack. */
export const ORIGIN = 0x8000;
/** A guest ends its run by writing a byte here; the byte is the run's `code`. */
export const EXIT_PORT = 0xf4;
/** A guest tells the test how far it is by writing a byte here, and runs on. */
export const MARK_PORT = 0xf5;
/** The harness leaves MMIO from here on to its recording bus. */
export const MMIO_BASE = 0xd000_0000;

/**
 * Macros for guests, in AT&T syntax. Nothing is linked, so the address of a label is written `ORIGIN + label - start`.
 * - `exit n` and `mark n` write to the two ports, `show value` a 32-bit operand to port 80, by way of EAX
 * - `gate label` is a 64-bit interrupt gate, `gates_to label n` are n of them; a guest puts 256 at its label `idt`
 * - `load_idt` loads that table
 * - `send_ipi destination, command` and `end_of_interrupt` write to the LAPIC, whose address is in RBX
 */
export const PRELUDE = `
.set ORIGIN, ${ORIGIN}
.set EXIT, ${EXIT_PORT}
.set MARK, ${MARK_PORT}
.set MMIO, ${MMIO_BASE}
.set LAPIC, 0xfee00000
.text
start:
.macro exit code
  movb $\\code, %al
  outb %al, $EXIT
.endm
.macro mark code
  movb $\\code, %al
  outb %al, $MARK
.endm
.macro show value
  movl \\value, %eax
  outl %eax, $0x80
.endm
# A 64-bit interrupt gate to label, through code segment 8.
.macro gate label
  .word (ORIGIN + \\label - start) & 0xffff, 8
  .byte 0, 0x8e
  .word (ORIGIN + \\label - start) >> 16
  .long 0, 0
.endm
.macro gates_to label count
  .rept \\count
  gate \\label
  .endr
.endm
# Loads the IDT at label idt, of 256 gates.
.macro load_idt
  lidt (ORIGIN + idtr - start)
  jmp 1f
idtr: .word 4095
  .quad ORIGIN + idt - start
1:
.endm
.macro send_ipi destination command
  movl \\destination, 0x310(%rbx)
  movl \\command, 0x300(%rbx)
.endm
.macro end_of_interrupt
  movl $0, 0xb0(%rbx)
.endm
`;
