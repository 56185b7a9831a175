/** Tiny firmware for tests: 16-bit code that is started at the reset vector. */

const ROM_SIZE = 4096;
/** The CPU sees the ROM at the end of its code segment. */
const ROM_OFFSET = 0x1_0000 - ROM_SIZE;
const RESET_VECTOR = 0xfff0;

/** A ROM that runs pieces of code, one after the other, and then spins. */
export function rom(...code: readonly (readonly number[])[]): Uint8Array {
  const bytes = new Uint8Array(ROM_SIZE);
  bytes.set([...code.flat(), 0xeb, 0xfe]); // jmp $
  bytes.set([0xe9, ...word(ROM_OFFSET - (RESET_VECTOR + 3))], RESET_VECTOR - ROM_OFFSET); // jmp near
  return bytes;
}

function word(value: number): [number, number] {
  return [value & 0xff, (value >> 8) & 0xff];
}

/** mov dx, port; mov al, value; out dx, al */
export function outByte(port: number, value: number): number[] {
  return [0xba, ...word(port), 0xb0, value, 0xee];
}

/** mov dx, port; mov ax, value; out dx, ax */
export function outWord(port: number, value: number): number[] {
  return [0xba, ...word(port), 0xb8, ...word(value), 0xef];
}

/** Sends ASCII text to COM1. */
export function print(text: string): number[] {
  return [...text].flatMap((c) => outByte(0x3f8, c.charCodeAt(0)));
}

/** Switches COM1's receive interrupt on, and sends back what comes until it was `last`. */
export function echoUntil(last: number): number[] {
  return [
    ...outByte(0x3f9, 1),
    ...[0xba, ...word(0x3fd), 0xec, 0xa8, 1, 0x74, 0xfb], // again: mov dx, LSR; wait: in al, dx; test al, 1; jz wait
    ...[0xba, ...word(0x3f8), 0xec, 0xee, 0x3c, last, 0x75, 0xef], // mov dx, RBR; in al, dx; out dx, al; cmp; jne again
  ];
}

/** The keyboard controller's reset command. */
export const RESET = outByte(0x64, 0xfe);

/** Protected mode with an interrupt table of no entries, and a selector that is none: a triple fault. */
export const TRIPLE_FAULT = [
  ...[0x2e, 0x0f, 0x01, 0x1e, 0x00, 0xf8], // lidt cs:[0xf800], which is zero
  ...[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // mov eax, cr0; or al, 1; mov cr0, eax
  ...[0xbb, 0xf8, 0xff, 0x8e, 0xdb], // mov bx, 0xfff8; mov ds, bx
];
