/** Writes machine code for one of the modes: the few instructions that hostile programs are built around. */
import { CODE, CODE_SIZE, type Mode } from './program.ts';

export type Bytes = readonly number[];

const OPERAND_SIZE = 0x66;

/** The low `size` bytes of a number. */
export function little(value: number, size: 1 | 2 | 4): number[] {
  return Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 0xff);
}

export class Writer {
  readonly mode: Mode;
  readonly bytes = new Uint8Array(CODE_SIZE);
  #at = 0;

  constructor(mode: Mode) {
    this.mode = mode;
  }

  get is16Bit(): boolean {
    return this.mode === 'real';
  }

  /** Address of the next byte. */
  get here(): number {
    return CODE + this.#at;
  }

  get isFull(): boolean {
    return this.#at >= CODE_SIZE;
  }

  /** Goes on at another address in the code. */
  moveTo(address: number): void {
    this.#at = Math.max(0, Math.min(CODE_SIZE, address - CODE));
  }

  /** What does not fit is left out. */
  put(bytes: Bytes): void {
    for (const byte of bytes) if (this.#at < CODE_SIZE) this.bytes[this.#at++] = byte;
  }

  /** MOV of a 32-bit constant to register 0-7. */
  setRegister(register: number, value: number): void {
    this.put([...this.#wide(), 0xb8 + register, ...little(value, 4)]);
  }

  /** MOV byte [address], value. */
  storeByte(address: number, value: number): void {
    this.put([0xc6, ...this.absolute(0, address), value & 0xff]);
  }

  /** MOV dword [address], value. */
  storeDword(address: number, value: number): void {
    this.put([...this.#wide(), 0xc7, ...this.absolute(0, address), ...little(value, 4)]);
  }

  /** ModRM and what follows, for a memory operand at a constant address; real mode takes the low 16 bits. */
  absolute(digit: number, address: number): number[] {
    if (this.mode === 'long') return [(digit << 3) | 4, 0x25, ...little(address, 4)];
    return this.is16Bit ? [(digit << 3) | 6, ...little(address, 2)] : [(digit << 3) | 5, ...little(address, 4)];
  }

  /** CALL or JMP to an address. */
  branch(opcode: 0xe8 | 0xe9, target: number): void {
    const size = this.is16Bit ? 2 : 4;
    this.put([opcode, ...little(target - (this.here + 1 + size), size)]);
  }

  /** DEC of register 0-7, then JNZ back to `target` if that is near enough. */
  countDown(register: number, target: number): void {
    this.put([...this.#wide(), 0xff, 0xc8 | register]);
    const distance = target - (this.here + 2);
    if (distance >= -128) this.put([0x75, distance & 0xff]);
  }

  #wide(): number[] {
    return this.is16Bit ? [OPERAND_SIZE] : [];
  }
}
