/** Registers in the `g` packet of QEMU's x86-64 stub, and their numbers in `P` packets. */

export const PACKET_SIZE = 608;

export interface PacketRegister {
  readonly number: number;
  readonly offset: number;
  readonly size: number;
}

const GENERAL = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'];
const NAMES: readonly (readonly [size: number, names: readonly string[]])[] = [
  [8, [...GENERAL, ...Array.from({ length: 8 }, (_, i) => `r${i + 8}`), 'rip']],
  [4, ['rflags', 'cs', 'ss', 'ds', 'es', 'fs', 'gs']],
  [8, ['fsBase', 'gsBase', 'kernelGsBase', 'cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer']],
  [10, Array.from({ length: 8 }, (_, i) => `st${i}`)],
  [4, ['fctrl', 'fstat', 'ftag', 'fiseg', 'fioff', 'foseg', 'fooff', 'fop']],
  [16, Array.from({ length: 16 }, (_, i) => `xmm${i}`)],
  [4, ['mxcsr']],
];

function layOut(): Record<string, PacketRegister> {
  const registers: Record<string, PacketRegister> = {};
  let offset = 0;
  let number = 0;
  for (const [size, names] of NAMES) {
    for (const name of names) {
      registers[name] = { number: number++, offset, size };
      offset += size;
    }
  }
  return registers;
}

export const PACKET: Readonly<Record<string, PacketRegister>> = layOut();
