import { formatError, type KernelSource, readChecked } from './kernel-source.ts';

/** A PT_LOAD segment: `fileSize` bytes of the file, then zeros up to `memorySize`. */
export interface ElfSegment {
  readonly offset: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly physicalAddress: number;
}

/** What a loader needs of a kernel in ELF. All numbers are safe integers except `entry`. */
export interface ElfImage {
  /** e_machine is EM_X86_64 and the class is 64-bit: e_entry, if it is physical, is entered in long mode. */
  readonly is64Bit: boolean;
  /** e_entry; may be a virtual address, so above 2^53 it is inexact. */
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
  /** The 32-bit physical entry of XEN_ELFNOTE_PHYS32_ENTRY, where the file has that note. */
  readonly pvhEntry: number | undefined;
}

const EM_386 = 3;
const EM_X86_64 = 62;
const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** Kernels have fewer than ten; a file with more is not one. */
const MAX_PROGRAM_HEADERS = 128;
/** The notes of a Linux kernel take some hundred bytes. */
const MAX_NOTE_BYTES = 1 << 20;

/** Where the two classes keep their fields (System V ABI, "ELF Header" and "Program Header"). */
const LAYOUT_32 = {
  headerSize: 52,
  phoff: 28,
  phentsize: 42,
  phnum: 44,
  phSize: 32,
  offset: 4,
  paddr: 12,
  filesz: 16,
  memsz: 20,
} as const;
const LAYOUT_64 = {
  headerSize: 64,
  phoff: 32,
  phentsize: 54,
  phnum: 56,
  phSize: 56,
  offset: 8,
  paddr: 24,
  filesz: 32,
  memsz: 40,
} as const;

interface ProgramHeader extends ElfSegment {
  readonly type: number;
}

/** Whether the file begins with the ELF magic. */
export function isElf(source: KernelSource): boolean {
  if (source.size < 4) return false;
  const magic = source.readAt(0, 4);
  return magic[0] === 0x7f && magic[1] === 0x45 && magic[2] === 0x4c && magic[3] === 0x46;
}

/** Parses the headers of an x86 ELF executable. Throws `E_KERNEL_FORMAT`. Segments are checked against the file only. */
export function parseElf(source: KernelSource): ElfImage {
  const ident = readChecked(source, 0, 20, 'the ELF header');
  const is64Bit = ident[4] === 2;
  if (!is64Bit && ident[4] !== 1) throw formatError(source, `ELF class ${ident[4]} is neither 32-bit nor 64-bit`);
  if (ident[5] !== 1) throw formatError(source, 'a big-endian ELF file is not an x86 kernel');
  checkKind(source, is64Bit, viewOf(ident));
  const header = viewOf(readChecked(source, 0, (is64Bit ? LAYOUT_64 : LAYOUT_32).headerSize, 'the ELF header'));
  const programHeaders = parseProgramHeaders(source, header, is64Bit);
  const segments = programHeaders.filter((h) => h.type === PT_LOAD && h.memorySize > 0);
  if (segments.length === 0) throw formatError(source, 'the ELF file has no segment to load');
  for (const s of segments) checkSegment(source, s);
  return {
    is64Bit,
    entry: word(header, 24, is64Bit),
    segments,
    pvhEntry: findPvhEntry(source, programHeaders),
  };
}

function checkKind(source: KernelSource, is64Bit: boolean, ident: DataView): void {
  const type = ident.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) throw formatError(source, `ELF type ${type} is not an executable`);
  const machine = ident.getUint16(18, true);
  if (machine !== EM_X86_64 && (is64Bit || machine !== EM_386)) {
    throw formatError(source, `the ELF file is for machine ${machine}, not for x86-64 (${EM_X86_64})`);
  }
}

function parseProgramHeaders(source: KernelSource, header: DataView, is64Bit: boolean): ProgramHeader[] {
  const layout = is64Bit ? LAYOUT_64 : LAYOUT_32;
  const count = header.getUint16(layout.phnum, true);
  const entrySize = header.getUint16(layout.phentsize, true);
  if (count === 0) throw formatError(source, 'the ELF file has no program headers');
  if (count > MAX_PROGRAM_HEADERS) throw formatError(source, `${count} ELF program headers are too many for a kernel`);
  if (entrySize < layout.phSize) throw formatError(source, `ELF program headers of ${entrySize} bytes are too small`);
  const start = word(header, layout.phoff, is64Bit);
  const table = viewOf(readChecked(source, start, count * entrySize, 'the ELF program header table'));
  return Array.from({ length: count }, (_, i) => ({
    type: table.getUint32(i * entrySize, true),
    offset: word(table, i * entrySize + layout.offset, is64Bit),
    fileSize: word(table, i * entrySize + layout.filesz, is64Bit),
    memorySize: word(table, i * entrySize + layout.memsz, is64Bit),
    physicalAddress: word(table, i * entrySize + layout.paddr, is64Bit),
  }));
}

function checkSegment(source: KernelSource, s: ElfSegment): void {
  const where = `the ELF segment at 0x${s.physicalAddress.toString(16)}`;
  if (!Number.isSafeInteger(s.physicalAddress + s.memorySize)) throw formatError(source, `${where} overflows`);
  if (s.fileSize > s.memorySize) throw formatError(source, `${where} has more bytes in the file than in memory`);
  if (!(s.offset + s.fileSize <= source.size)) throw formatError(source, `${where} is beyond the end of the file`);
}

/** Looks through the notes (owner "Xen") for the PVH entry; a note that does not fit its segment ends the search. */
function findPvhEntry(source: KernelSource, headers: readonly ProgramHeader[]): number | undefined {
  for (const h of headers) {
    if (h.type !== PT_NOTE || h.fileSize > MAX_NOTE_BYTES) continue;
    const notes = readChecked(source, h.offset, h.fileSize, 'the ELF notes');
    const view = viewOf(notes);
    for (let at = 0; at + 12 <= notes.length; ) {
      const nameSize = view.getUint32(at, true);
      const descSize = view.getUint32(at + 4, true);
      const desc = at + 12 + align4(nameSize);
      if (desc + descSize > notes.length) break;
      const isXen = nameSize === 4 && view.getUint32(at + 12, true) === 0x006e_6558; // "Xen\0"
      if (isXen && view.getUint32(at + 8, true) === XEN_ELFNOTE_PHYS32_ENTRY && descSize >= 4) {
        return view.getUint32(desc, true);
      }
      at = desc + align4(descSize);
    }
  }
  return undefined;
}

function align4(n: number): number {
  return Math.ceil(n / 4) * 4;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function word(view: DataView, offset: number, is64Bit: boolean): number {
  const low = view.getUint32(offset, true);
  return is64Bit ? low + view.getUint32(offset + 4, true) * 0x1_0000_0000 : low;
}
