import {
  AUDIT_ARCH_X86_64,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JSET,
  BPF_LD_W_ABS,
  BPF_RET,
  type BpfInstruction,
} from '../compile-policy.ts';

/** Of filters that others make. */
const BPF_ALU_AND = 0x54;

/** What the kernel would do: runs a filter for a system call and returns its answer, a SECCOMP_RET_ value. */
export function runFilter(
  program: readonly BpfInstruction[],
  nr: number,
  args: readonly bigint[] = [],
  arch = AUDIT_ARCH_X86_64,
): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr, true);
  data.setUint32(4, arch, true);
  for (const [i, value] of args.entries()) data.setBigUint64(16 + 8 * i, value, true);
  for (let at = 0, accumulator = 0; ; at++) {
    const { code, jt, jf, k } = program[at]!;
    if (code === BPF_LD_W_ABS) accumulator = data.getUint32(k, true);
    else if (code === BPF_ALU_AND) accumulator = (accumulator & k) >>> 0;
    else if (code === BPF_JA) at += k;
    else if (code === BPF_RET) return k;
    else at += condition(code, accumulator, k) ? jt : jf;
  }
}

function condition(code: number, accumulator: number, k: number): boolean {
  switch (code) {
    case BPF_JEQ:
      return accumulator === k;
    case BPF_JGT:
      return accumulator > k;
    case BPF_JGE:
      return accumulator >= k;
    case BPF_JSET:
      return (accumulator & k) !== 0;
    default:
      throw new RangeError(`instruction ${code}`);
  }
}
