import { SystemError } from '../../base/system-error.ts';
import { CrosvmError } from '../../errors.ts';
import type { CpuidEntry } from '../hypervisor.ts';
import { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } from './constants.ts';
import { KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2 } from './ioctls.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { StructView } from './struct-layout.ts';
import { kvm_cpuid_entry2, kvm_cpuid2 } from './structs.ts';

/** KVM_MAX_CPUID_ENTRIES of the kernel. */
const MAX_ENTRIES = 256;

const LEAF_FEATURES = 1;
/** In ECX of LEAF_FEATURES: the kernel's LAPIC has both, but not every version says so here. */
const LAPIC_FEATURES = (1 << 21) | (1 << 24); // x2APIC, TSC deadline timer

/** What this KVM can offer to guests on this host. */
export function getSupportedCpuid(kvmFd: number): CpuidEntry[] {
  const table = new NativeStruct(kvm_cpuid2, MAX_ENTRIES * kvm_cpuid_entry2.size);
  table.set('nent', MAX_ENTRIES);
  kvmIoctl(kvmFd, KVM_GET_SUPPORTED_CPUID, table);
  return Array.from({ length: table.get('nent') }, (_, i) => {
    const entry = new StructView(kvm_cpuid_entry2, table.tail, i * kvm_cpuid_entry2.size);
    const leaf = entry.get('function');
    const ecx = entry.get('ecx');
    return {
      leaf,
      subleaf: entry.get('index'),
      indexed: (entry.get('flags') & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) !== 0,
      eax: entry.get('eax'),
      ebx: entry.get('ebx'),
      ecx: leaf === LEAF_FEATURES ? (ecx | LAPIC_FEATURES) >>> 0 : ecx,
      edx: entry.get('edx'),
    };
  });
}

/** Throws `E_CPUID` if the kernel does not take them. */
export function setCpuid(vcpuFd: number, entries: readonly CpuidEntry[]): void {
  const table = new NativeStruct(kvm_cpuid2, entries.length * kvm_cpuid_entry2.size);
  table.set('nent', entries.length);
  entries.forEach((value, i) => {
    const entry = new StructView(kvm_cpuid_entry2, table.tail, i * kvm_cpuid_entry2.size);
    entry.set('function', value.leaf);
    entry.set('index', value.subleaf);
    entry.set('flags', value.indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0);
    for (const name of ['eax', 'ebx', 'ecx', 'edx'] as const) entry.set(name, value[name]);
  });
  try {
    kvmIoctl(vcpuFd, KVM_SET_CPUID2, table);
  } catch (cause) {
    const errno = cause instanceof SystemError ? cause.errno : String(cause);
    const hint = errno === 'E2BIG' ? `at most ${MAX_ENTRIES} fit` : `${errno}, was it changed while the vCPU ran?`;
    throw new CrosvmError('E_CPUID', `KVM does not take the ${entries.length} CPUID entries: ${hint}`, { cause });
  }
}
