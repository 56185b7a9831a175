/** The instruction that a vCPU is about to execute, as text. */
import { decode } from '../../src/hypervisor/soft/decode/decode.ts';
import { formatInsn } from '../../src/hypervisor/soft/decode/format.ts';
import { Insn } from '../../src/hypervisor/soft/decode/insn.ts';
import { codeSizeOf } from '../../src/hypervisor/soft/modes.ts';
import { CPU } from '../../src/hypervisor/soft/state.ts';
import type { SoftVcpu } from '../../src/hypervisor/soft/vcpu.ts';

const MAX_INSN = 15;
const PAGE = 4096;

/** Address, bytes and mnemonic. */
export function nextInstruction(vcpu: SoftVcpu): string {
  const { state } = vcpu;
  const { rip } = state;
  const place = `0x${rip.toString(16)}`;
  const bytes = codeBytes(vcpu);
  const insn = new Insn();
  const length = decode(bytes, 0, bytes.length, codeSizeOf(state.u32(CPU.mode)), insn);
  if (length <= 0) return `${place}  (no instruction, or not mapped)`;
  return `${place}  ${Buffer.from(bytes.subarray(0, length)).toString('hex').padEnd(22)} ${formatInsn(insn, rip)}`;
}

/** What stands at RIP, as far as it is mapped RAM. */
function codeBytes(vcpu: SoftVcpu): Uint8Array {
  const { state } = vcpu;
  const linear = (state.rip + state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
  const inPage = Math.min(MAX_INSN, PAGE - Number(linear & 0xfffn));
  const first = mapped(vcpu, linear, inPage);
  const second = first.length === MAX_INSN ? [] : mapped(vcpu, linear + BigInt(inPage), MAX_INSN - inPage);
  return Uint8Array.from([...first, ...second]);
}

function mapped(vcpu: SoftVcpu, linear: bigint, length: number): Uint8Array {
  const gpa = vcpu.translate(linear);
  const { memory } = vcpu.vm;
  return gpa !== undefined && memory.contains(gpa, length) ? memory.slice(gpa, length) : new Uint8Array(0);
}
