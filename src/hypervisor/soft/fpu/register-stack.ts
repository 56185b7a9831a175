/** The x87 part of a vCPU's block: the register stack, the status, control and tag words (Intel SDM vol. 1, 8.1). */
import { CPU } from '../state.ts';
import { Float80, INDEFINITE } from './float80.ts';
import { EXCEPTION } from './ieee.ts';
import { Rounding, STACK_FAULT } from './rounding.ts';

/** Fields of the status word. */
export const STATUS = {
  exceptions: 0x3f,
  stackFault: 1 << 6,
  /** An exception is pending that is not masked; B (bit 15) is a copy of it. */
  summary: 1 << 7,
  c0: 1 << 8,
  c1: 1 << 9,
  c2: 1 << 10,
  c3: 1 << 14,
  busy: 1 << 15,
} as const;
const TOP_SHIFT = 11;
const TOP = 7 << TOP_SHIFT;
const CODES = STATUS.c0 | STATUS.c1 | STATUS.c2 | STATUS.c3;

/** Bits of the control word that can be written; bit 6 reads as 1, the rest as 0. */
const CONTROL_WRITABLE = 0x1f3f;
const CONTROL_FIXED = 0x40;

export class RegisterStack {
  readonly view: DataView;
  /** Address of the vCPU's block. */
  readonly cpu: number;
  /** How the instruction that is being executed rounds and what it raised. */
  readonly rounding = new Rounding();

  constructor(view: DataView, cpu: number) {
    this.view = view;
    this.cpu = cpu;
  }

  get control(): number {
    return this.view.getUint16(this.cpu + CPU.x87Control, true);
  }

  /** Writing it can make exceptions pending, or no longer so. */
  set control(value: number) {
    this.view.setUint16(this.cpu + CPU.x87Control, (value & CONTROL_WRITABLE) | CONTROL_FIXED, true);
    this.status = this.status;
  }

  get status(): number {
    return this.view.getUint16(this.cpu + CPU.x87Status, true);
  }

  /** ES and B follow from the exceptions and their masks, whatever the value has there. */
  set status(value: number) {
    const pending = (value & ~this.control & STATUS.exceptions) !== 0;
    const rest = value & 0x7fff & ~STATUS.summary;
    this.view.setUint16(this.cpu + CPU.x87Status, pending ? rest | STATUS.summary | STATUS.busy : rest, true);
  }

  /** Bit n: physical register n is not empty. */
  get tags(): number {
    return this.view.getUint16(this.cpu + CPU.x87Tag, true);
  }

  set tags(value: number) {
    this.view.setUint16(this.cpu + CPU.x87Tag, value, true);
  }

  /** Physical register that is ST(0). */
  get top(): number {
    return (this.status & TOP) >> TOP_SHIFT;
  }

  set top(value: number) {
    this.view.setUint16(this.cpu + CPU.x87Status, (this.status & ~TOP) | ((value & 7) << TOP_SHIFT), true);
  }

  /** Replaces condition codes; those not given become 0. */
  setCodes(codes: number): void {
    this.view.setUint16(this.cpu + CPU.x87Status, (this.status & ~CODES) | codes, true);
  }

  #physical(index: number): number {
    return (this.top + index) & 7;
  }

  isEmpty(index: number): boolean {
    return ((this.tags >> this.#physical(index)) & 1) === 0;
  }

  free(index: number): void {
    this.tags &= ~(1 << this.#physical(index));
  }

  /** Address of ST(index) in the WebAssembly memory. */
  addressOf(index: number): number {
    return this.cpu + CPU.x87 + 16 * this.#physical(index);
  }

  read(index: number): Float80 {
    const address = this.addressOf(index);
    const high = this.view.getUint16(address + 8, true);
    return new Float80(high >> 15, high & 0x7fff, this.view.getBigUint64(address, true));
  }

  /** Writes ST(index) and marks it as not empty. */
  write(index: number, value: Float80): void {
    const address = this.addressOf(index);
    this.view.setBigUint64(address, value.significand, true);
    this.view.setUint16(address + 8, (value.sign << 15) | value.exponent, true);
    this.tags |= 1 << this.#physical(index);
  }

  pop(): void {
    this.free(0);
    this.top++;
  }

  /** A new ST(0). The caller has looked for overflow. */
  push(value: Float80): void {
    this.top--;
    this.write(0, value);
  }

  /** Whether ST(index) is empty; if so the instruction has met a stack underflow. */
  underflows(index: number): boolean {
    if (!this.isEmpty(index)) return false;
    this.rounding.raise(EXCEPTION.invalid | STACK_FAULT);
    return true;
  }

  /** Whether a push would overwrite a register; if so the instruction has met a stack overflow, which C1 tells. */
  overflows(): boolean {
    if (this.isEmpty(-1)) return false;
    this.rounding.raise(EXCEPTION.invalid | STACK_FAULT);
    this.rounding.roundedUp = true;
    return true;
  }

  /** Writes a result unless an unmasked exception forbids it. Returns whether it did. */
  result(index: number, value: Float80): boolean {
    if (this.rounding.refused) return false;
    this.write(index, value);
    return true;
  }

  /**
   * Pushes a loaded value; on overflow it is the indefinite. An unmasked invalid operation forbids it, but a denormal is
   * loaded even where that is an unmasked exception.
   */
  pushResult(value: () => Float80): void {
    const pushed = this.overflows() ? INDEFINITE : value();
    const { rounding } = this;
    if ((rounding.flags & EXCEPTION.invalid) === 0 || rounding.isMasked(EXCEPTION.invalid)) this.push(pushed);
  }

  /** Starts an instruction that can raise exceptions. */
  begin(): void {
    this.rounding.begin(this.control);
  }

  /** Ends it: exceptions become sticky, C1 tells the rounding or the kind of stack fault. */
  end(): void {
    const { flags, roundedUp } = this.rounding;
    this.status = (this.status & ~STATUS.c1) | flags | (roundedUp ? STATUS.c1 : 0);
  }
}
