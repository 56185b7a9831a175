const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
const ET_EXEC = 2;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PF_READ_AND_EXECUTE = 5;

/** Where the contents of an `elfProgram` are in the file, and behind its address in memory. */
export const ELF_CONTENTS = HEADER_SIZE + PROGRAM_HEADER_SIZE;

/**
 * An ELF64 executable for x86-64 (System V ABI, "ELF Header" and "Program Header"). The whole file is in memory from
 * `address` on, a multiple of the page size below 2^32, and cannot be written; it is entered where `contents` begin.
 */
export function elfProgram(address: number, contents: Uint8Array): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(ELF_CONTENTS + contents.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // 64-bit, little-endian, version 1
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setUint32(24, address + ELF_CONTENTS, true); // e_entry
  view.setUint32(32, HEADER_SIZE, true); // e_phoff
  view.setUint16(52, HEADER_SIZE, true);
  view.setUint16(54, PROGRAM_HEADER_SIZE, true);
  view.setUint16(56, 1, true); // e_phnum
  view.setUint32(64, PT_LOAD, true);
  view.setUint32(68, PF_READ_AND_EXECUTE, true);
  view.setUint32(80, address, true); // p_vaddr
  view.setUint32(88, address, true); // p_paddr
  view.setUint32(96, file.length, true); // p_filesz
  view.setUint32(104, file.length, true); // p_memsz
  file.set(contents, ELF_CONTENTS);
  return file;
}
