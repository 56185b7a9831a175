/** All that Emit.exact() reaches: vector instructions, and the divisions of 128 by 64 bits. */
import { VECTOR } from '../architecture.ts';
import { OP } from '../decode/opcodes.ts';
import { SLOT } from '../state.ts';
import { SseExact } from './sse-exact.ts';

const DIVIDE_ERROR = 1 + VECTOR.de;
const REGISTER = 0xffff_ffff_ffff_ffffn;

export class Exact {
  readonly #view: DataView;
  readonly #cpu: number;
  readonly #sse: SseExact;

  constructor(view: DataView, cpu: number) {
    this.#view = view;
    this.#cpu = cpu;
    this.#sse = new SseExact(view, cpu);
  }

  /** Operands as records have them: slots, or numbers of vector registers. Gives 0, or 1 + the vector of a fault. */
  execute(code: number, a: number, b: number, imm: number): number {
    if (code === OP.div) return this.#divide(b);
    if (code === OP.idiv) return this.#divideSigned(b);
    return this.#sse.execute(code, a, b, imm);
  }

  #divide(by: number): number {
    const divisor = this.#get(by);
    const dividend = (this.#get(SLOT.rdx) << 64n) | this.#get(SLOT.rax);
    const quotient = dividend / divisor;
    if (quotient > REGISTER) return DIVIDE_ERROR;
    return this.#set(quotient, dividend % divisor);
  }

  #divideSigned(by: number): number {
    const divisor = BigInt.asIntN(64, this.#get(by));
    const dividend = BigInt.asIntN(128, (this.#get(SLOT.rdx) << 64n) | this.#get(SLOT.rax));
    const quotient = dividend / divisor;
    if (BigInt.asIntN(64, quotient) !== quotient) return DIVIDE_ERROR;
    return this.#set(quotient, dividend % divisor);
  }

  #get(slot: number): bigint {
    return this.#view.getBigUint64(this.#cpu + slot, true);
  }

  #set(quotient: bigint, remainder: bigint): number {
    this.#view.setBigUint64(this.#cpu + SLOT.rax, BigInt.asUintN(64, quotient), true);
    this.#view.setBigUint64(this.#cpu + SLOT.rdx, BigInt.asUintN(64, remainder), true);
    return 0;
  }
}
