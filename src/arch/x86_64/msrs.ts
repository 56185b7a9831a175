import type { MsrEntry } from '../../hypervisor/hypervisor.ts';
import { FOUR_GIB, LOW_RAM_LIMIT } from './memory-map.ts';

const IA32_TSC = 0x10;
const IA32_SYSENTER_CS = 0x174;
const IA32_SYSENTER_ESP = 0x175;
const IA32_SYSENTER_EIP = 0x176;
const IA32_MISC_ENABLE = 0x1a0;
const IA32_MTRR_PHYSBASE0 = 0x200;
const IA32_MTRR_PHYSMASK0 = 0x201;
const IA32_MTRR_DEF_TYPE = 0x2ff;
const IA32_STAR = 0xc000_0081;
const IA32_LSTAR = 0xc000_0082;
const IA32_CSTAR = 0xc000_0083;
const IA32_FMASK = 0xc000_0084;
const IA32_KERNEL_GS_BASE = 0xc000_0102;

const FAST_STRING = 1n;
const MTRR_ENABLE = 1n << 11n;
const MTRR_VALID = 1n << 11n;
const UNCACHEABLE = 0n;
const WRITE_BACK = 6n;

/**
 * MSRs of a vCPU that starts. Memory is write-back by default; variable MTRRs make the space of devices below 4 GiB
 * uncacheable, unless the CPU has fewer of them than that takes (IA32_MTRRCAP, `variableMtrrs`).
 */
export function initialMsrs(config: { readonly variableMtrrs: number; readonly addressBits: number }): MsrEntry[] {
  const zero = [
    IA32_TSC,
    IA32_SYSENTER_CS,
    IA32_SYSENTER_ESP,
    IA32_SYSENTER_EIP,
    IA32_STAR,
    IA32_LSTAR,
    IA32_CSTAR,
    IA32_FMASK,
    IA32_KERNEL_GS_BASE,
  ];
  return [
    ...zero.map((index) => ({ index, value: 0n })),
    { index: IA32_MISC_ENABLE, value: FAST_STRING },
    ...variableMtrrs(config.variableMtrrs, config.addressBits),
    { index: IA32_MTRR_DEF_TYPE, value: MTRR_ENABLE | WRITE_BACK },
  ];
}

/** A variable MTRR covers a power of two, aligned to itself: the space is cut into such pieces from its start. */
function variableMtrrs(available: number, addressBits: number): MsrEntry[] {
  const addressMask = (1n << BigInt(addressBits)) - 1n;
  const entries: MsrEntry[] = [];
  for (let start = LOW_RAM_LIMIT, n = 0; start < FOUR_GIB; n++) {
    if (n >= available) return [];
    let size = 4096;
    while (start % (size * 2) === 0 && start + size * 2 <= FOUR_GIB) size *= 2;
    entries.push(
      { index: IA32_MTRR_PHYSBASE0 + n * 2, value: BigInt(start) | UNCACHEABLE },
      { index: IA32_MTRR_PHYSMASK0 + n * 2, value: (addressMask & ~(BigInt(size) - 1n)) | MTRR_VALID },
    );
    start += size;
  }
  return entries;
}
