/** Tiny 64-bit kernels for tests: an ELF file with one segment of code, entered in long mode. */

const LOAD_ADDRESS = 0x100_0000;
const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;

/** An ELF64 executable that runs pieces of code, one after the other, and then spins. */
export function elfKernel(...code: readonly (readonly number[])[]): Uint8Array {
  const offset = HEADER_SIZE + PROGRAM_HEADER_SIZE;
  const text = [...code.flat(), 0xeb, 0xfe]; // jmp $
  const file = new Uint8Array(offset + text.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setUint32(24, LOAD_ADDRESS, true); // e_entry
  view.setUint32(32, HEADER_SIZE, true); // e_phoff
  view.setUint16(52, HEADER_SIZE, true);
  view.setUint16(54, PROGRAM_HEADER_SIZE, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 5, true);
  view.setUint32(72, offset, true);
  view.setUint32(80, LOAD_ADDRESS, true); // p_vaddr
  view.setUint32(88, LOAD_ADDRESS, true); // p_paddr
  view.setUint32(96, text.length, true);
  view.setUint32(104, text.length, true);
  file.set(text, offset);
  return file;
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
