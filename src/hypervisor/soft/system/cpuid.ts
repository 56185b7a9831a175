/** CPUID: the instruction, and the processor that we say we are (Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E). */
import type { CpuidEntry } from '../../hypervisor.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

export interface CpuidModel {
  /** This vCPU's APIC id, and how many vCPUs there are. */
  readonly id: number;
  readonly vcpus: number;
  readonly tscKhz: number;
}

/** Bit numbers of features, in the registers that CPUID has them in. */
const bits = (...numbers: number[]) => numbers.reduce((all, n) => (all | (1 << n)) >>> 0, 0);

const FAMILY_25_MODEL_1 = 0x00a0_0f11;
/** fpu de pse tsc msr pae cx8 apic mtrr pge cmov pat pse36 mmx fxsr: what leaves 1 and 80000001 share. */
const COMMON_EDX = bits(0, 2, 3, 4, 5, 6, 8, 9, 12, 13, 15, 16, 17, 23, 24);
/** sep clflush sse sse2. */
const LEAF1_EDX = bits(11, 19, 25, 26);
const HTT = bits(28);
/** sse3 ssse3 sse4.1 sse4.2 x2apic popcnt tsc-deadline rdrand hypervisor. */
const LEAF1_ECX = bits(0, 9, 19, 20, 21, 23, 24, 30, 31);
/** CMPXCHG16B is not atomic, so only a lone vCPU has it. */
const CX16 = bits(13);
const ERMS = bits(9);
const FSRM = bits(4);
/** lahf, 3dnowprefetch. */
const EXTENDED_ECX = bits(0, 8);
const CMP_LEGACY = bits(1);
/** syscall nx pdpe1gb rdtscp lm. */
const EXTENDED_EDX = bits(11, 20, 26, 27, 29);
const INVARIANT_TSC = bits(8);
/**
 * FXSAVE and FXRSTOR always have the pointers of the x87 unit, so a kernel need not clear them between programs; not
 * affected by speculative store bypass or branch type confusion.
 */
const LEAF8_EBX = bits(2, 26, 29);
/** LFENCE is serializing, null selectors clear the base, automatic IBRS, no SRSO. */
const LEAF21_EAX = bits(2, 6, 8, 29);
/** No TSA. */
const LEAF21_ECX = bits(1, 2);
/** Physical and linear address bits. */
const ADDRESS_SIZES = 46 | (48 << 8);
/** NOP_IO_DELAY, CLOCKSOURCE2, CLOCKSOURCE_STABLE. */
const KVM_FEATURES = bits(1, 3, 24);
const LAPIC_KHZ = 1_000_000;
const BRAND = 'crosvm software x86-64 processor';

/** What CPUID gives on a vCPU of the software CPU. */
export function defaultCpuid(model: CpuidModel): CpuidEntry[] {
  const { id, vcpus, tscKhz } = model;
  const several = vcpus > 1;
  const idBits = Math.ceil(Math.log2(vcpus));
  const leaf1Ebx = ((id << 24) | ((several ? vcpus : 0) << 16) | (8 << 8)) >>> 0;
  const leaf1Ecx = (LEAF1_ECX | (several ? 0 : CX16)) >>> 0;
  const mhz = Math.round(tscKhz / 1000);
  return [
    leaf(0, 0x16, ...letters('AuthenticAMD', [0, 8, 4])),
    leaf(1, FAMILY_25_MODEL_1, leaf1Ebx, leaf1Ecx, (COMMON_EDX | LEAF1_EDX | (several ? HTT : 0)) >>> 0),
    subleaf(7, 0, 0, ERMS, 0, FSRM),
    subleaf(0xb, 0, 0, 1, 0x100, id),
    subleaf(0xb, 1, idBits, vcpus, 0x201, id),
    subleaf(0xb, 2, 0, 0, 2, id),
    // The TSC is twice a crystal of half its frequency, which fits into 32 bits.
    leaf(0x15, 1, 2, tscKhz * 500, 0),
    leaf(0x16, mhz, mhz, 100, 0),
    leaf(0x4000_0000, 0x4000_0010, ...letters('KVMKVMKVM\0\0\0', [0, 4, 8])),
    leaf(0x4000_0001, KVM_FEATURES, 0, 0, 0),
    leaf(0x4000_0010, tscKhz, LAPIC_KHZ, 0, 0),
    leaf(0x8000_0000, 0x8000_0021, ...letters('AuthenticAMD', [0, 8, 4])),
    leaf(
      0x8000_0001,
      FAMILY_25_MODEL_1,
      0,
      EXTENDED_ECX | (several ? CMP_LEGACY : 0),
      (COMMON_EDX | EXTENDED_EDX) >>> 0,
    ),
    ...brandLeaves(),
    // 32 KiB of 8 ways in level 1, 512 KiB in level 2, lines of 64 bytes.
    leaf(0x8000_0005, 0, 0, 0x2008_0140, 0x2008_0140),
    leaf(0x8000_0006, 0, 0, 0x0200_6140, 0),
    leaf(0x8000_0007, 0, 0, 0, INVARIANT_TSC),
    leaf(0x8000_0008, ADDRESS_SIZES, LEAF8_EBX, (idBits << 12) | (vcpus - 1), 0),
    leaf(0x8000_0021, LEAF21_EAX, 0, LEAF21_ECX, 0),
  ];
}

function leaf(number: number, eax: number, ebx: number, ecx: number, edx: number): CpuidEntry {
  return { leaf: number, subleaf: 0, indexed: false, eax, ebx, ecx, edx };
}

function subleaf(number: number, index: number, eax: number, ebx: number, ecx: number, edx: number): CpuidEntry {
  return { leaf: number, subleaf: index, indexed: true, eax, ebx, ecx, edx };
}

/** Three registers of text, EBX ECX EDX, each from its offset in `text`. */
function letters(text: string, offsets: readonly [number, number, number]): [number, number, number] {
  const [b, c, d] = offsets;
  return [word(text, b), word(text, c), word(text, d)];
}

function word(text: string, offset: number): number {
  let value = 0;
  for (let n = 3; n >= 0; n--) value = (value << 8) | (text.charCodeAt(offset + n) || 0);
  return value >>> 0;
}

function brandLeaves(): CpuidEntry[] {
  return [0, 16, 32].map((at, n) =>
    leaf(0x8000_0002 + n, word(BRAND, at), word(BRAND, at + 4), word(BRAND, at + 8), word(BRAND, at + 12)),
  );
}

/** The entry for a leaf and subleaf; undefined (all zero) where there is none. */
export function findCpuid(entries: readonly CpuidEntry[], number: number, index: number): CpuidEntry | undefined {
  return entries.find((entry) => entry.leaf === number && (!entry.indexed || entry.subleaf === index));
}

export function cpuid(cpu: SystemCpu): Next {
  const { state } = cpu;
  const low = (n: number) => Number(state.reg(n) & 0xffff_ffffn);
  const entry = findCpuid(cpu.cpuid, low(0), low(1));
  const values = entry === undefined ? [0, 0, 0, 0] : [entry.eax, entry.ecx, entry.edx, entry.ebx];
  values.forEach((value, n) => {
    state.setReg(n, BigInt(value >>> 0), 4);
  });
  return 'next';
}
