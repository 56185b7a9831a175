/** Tiny 64-bit kernels for tests: an ELF file with one segment of code, entered in long mode. */
import { elfProgram } from '../src/initramfs/elf-program.ts';

const LOAD_ADDRESS = 0x100_0000;

/** An ELF64 executable that runs pieces of code, one after the other, and then spins. */
export function elfKernel(...code: readonly (readonly number[])[]): Uint8Array {
  return elfProgram(LOAD_ADDRESS, Uint8Array.from([...code.flat(), 0xeb, 0xfe])); // jmp $
}

function dword(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

/** mov edx, port; mov eax, value; out dx, eax */
function outDword(port: number, value: number): number[] {
  return [0xba, ...dword(port), 0xb8, ...dword(value), 0xef];
}

/** Sends ASCII text to COM1: mov edx, port; mov al, c; out dx, al. */
export function print64(text: string): number[] {
  return [...text].flatMap((c) => [0xba, ...dword(0x3f8), 0xb0, c.charCodeAt(0), 0xee]);
}

const PVPANIC_CONFIG = 0x8000_f800;

/** Switches the pvpanic device's memory on, finds its BAR, and reports a panic. */
export const PANIC = [
  ...outDword(0xcf8, PVPANIC_CONFIG | 0x04),
  ...outDword(0xcfc, 2), // command: memory space
  ...outDword(0xcf8, PVPANIC_CONFIG | 0x10),
  ...[0xba, ...dword(0xcfc), 0xed], // mov edx, 0xcfc; in eax, dx
  ...[0x83, 0xe0, 0xf0], // and eax, ~15
  ...[0xc6, 0x00, 0x01], // mov byte [rax], 1
];
