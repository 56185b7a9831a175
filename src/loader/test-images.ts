/** Makes small kernel files for tests: well-formed unless the test asks for something else. */

export interface TestSegment {
  readonly address: number;
  readonly bytes: Uint8Array;
  /** p_memsz where it is not the number of bytes. */
  readonly memorySize?: number;
  /** p_offset, p_filesz where they lie. */
  readonly offset?: number;
  readonly fileSize?: number;
}

export interface TestElf {
  readonly segments: readonly TestSegment[];
  readonly entry: number;
  readonly pvhEntry?: number;
  readonly is64Bit?: boolean;
}

const PT_LOAD = 1;
const PT_NOTE = 4;

/** An x86 ELF executable with these segments and, for a PVH entry, a note segment. */
export function buildElf(elf: TestElf): Uint8Array {
  const is64Bit = elf.is64Bit ?? true;
  const headerSize = is64Bit ? 64 : 52;
  const phSize = is64Bit ? 56 : 32;
  const note = elf.pvhEntry === undefined ? undefined : pvhNote(elf.pvhEntry);
  const parts = [
    ...elf.segments.map((s) => ({ type: PT_LOAD, ...s })),
    ...(note === undefined ? [] : [{ type: PT_NOTE, address: 0, bytes: note }]),
  ] as (TestSegment & { type: number })[];
  let end = headerSize + parts.length * phSize;
  const bytes = new Uint8Array(end + parts.reduce((sum, p) => sum + p.bytes.length, 0));
  const view = new DataView(bytes.buffer);
  const word = (at: number, value: number) => {
    if (is64Bit) view.setBigUint64(at, BigInt(value), true);
    else view.setUint32(at, value, true);
  };
  bytes.set([0x7f, 0x45, 0x4c, 0x46, is64Bit ? 2 : 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, is64Bit ? 62 : 3, true);
  word(24, elf.entry);
  word(is64Bit ? 32 : 28, headerSize);
  view.setUint16(is64Bit ? 54 : 42, phSize, true);
  view.setUint16(is64Bit ? 56 : 44, parts.length, true);
  parts.forEach((part, i) => {
    const at = headerSize + i * phSize;
    bytes.set(part.bytes, end);
    view.setUint32(at, part.type, true);
    word(at + (is64Bit ? 8 : 4), part.offset ?? end);
    word(at + (is64Bit ? 24 : 12), part.address);
    word(at + (is64Bit ? 32 : 16), part.fileSize ?? part.bytes.length);
    word(at + (is64Bit ? 40 : 20), part.memorySize ?? part.bytes.length);
    end += part.bytes.length;
  });
  return bytes;
}

/** A note of another owner first, then XEN_ELFNOTE_PHYS32_ENTRY. */
function pvhNote(entry: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16 + 8 + 20));
  const bytes = new Uint8Array(view.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(4, 8, true);
  view.setUint32(8, 18, true);
  bytes.set([0x47, 0x4e, 0x55, 0], 12); // "GNU"
  view.setUint32(24, 4, true);
  view.setUint32(28, 4, true);
  view.setUint32(32, 18, true);
  bytes.set([0x58, 0x65, 0x6e, 0], 36); // "Xen"
  view.setUint32(40, entry, true);
  return bytes;
}

/** A bzImage whose protected-mode part is 0x200 bytes and then `payload`. */
export function buildBzImage(payload: Uint8Array, setupSectors = 4): Uint8Array {
  const kernelOffset = ((setupSectors || 4) + 1) * 512;
  const kernelSize = Math.ceil((0x200 + payload.length) / 16) * 16;
  const bytes = new Uint8Array(kernelOffset + kernelSize);
  const view = new DataView(bytes.buffer);
  bytes[0x1f1] = setupSectors;
  view.setUint32(0x1f4, kernelSize / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x6aeb, true); // jmp over the header
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x248, 0x200, true);
  view.setUint32(0x24c, payload.length, true);
  view.setUint32(0x258, 0x100_0000, true);
  view.setUint32(0x260, 0x20_0000, true);
  bytes.set(payload, kernelOffset + 0x200);
  return bytes;
}
