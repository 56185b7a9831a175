/** The six arithmetic flags as bits of RFLAGS, for TypeScript: semantics/flags.ts says how a vCPU's block keeps them. */
import { FLAG } from './architecture.ts';
import { CPU } from './state.ts';

export function readArithmeticFlags(view: DataView, cpu: number): number {
  const result = view.getBigUint64(cpu + CPU.flagResult, true);
  const carry = view.getUint8(cpu + CPU.flagCarry + 7);
  const other = view.getUint32(cpu + CPU.flagOther, true);
  const cf = carry >> 7;
  const of = cf ^ ((carry >> 6) & 1);
  const sf = Number(result >> 63n) ^ (other & 1);
  let parity = (Number(result & 0xffn) ^ (other >> 8)) & 0xff;
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  const pf = (parity & 1) ^ 1;
  const zf = result === 0n ? 1 : 0;
  return cf | (pf << 2) | (other & FLAG.af) | (zf << 6) | (sf << 7) | (of << 11);
}

export function writeArithmeticFlags(view: DataView, cpu: number, image: number): void {
  const cf = BigInt(image & 1);
  const of = BigInt((image >> 11) & 1);
  const parityCorrection = (image & FLAG.pf) !== 0 ? 0 : 0x100;
  view.setBigUint64(cpu + CPU.flagResult, (image & FLAG.zf) !== 0 ? 0n : 0x100n, true);
  view.setBigUint64(cpu + CPU.flagCarry, (cf << 63n) | ((cf ^ of) << 62n), true);
  view.setUint32(cpu + CPU.flagOther, (image & FLAG.af) | ((image >> 7) & 1) | parityCorrection, true);
}
