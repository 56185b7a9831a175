import type { EntryState } from '../arch/x86_64/boot-registers.ts';
import { guestCpuid, physicalAddressBits } from '../arch/x86_64/cpuid.ts';
import { setUpLapicPins } from '../arch/x86_64/lapic-setup.ts';
import { initialMsrs } from '../arch/x86_64/msrs.ts';
import type { CpuidEntry, Vcpu } from '../hypervisor/hypervisor.ts';

/** The state in which a vCPU starts: survives structured clone. */
export interface VcpuSetup {
  readonly cpus: number;
  /** For the bootstrap processor; the others wait for SIPI in the state after reset. */
  readonly entry: EntryState | undefined;
}

const IA32_MTRRCAP = 0xfe;
const LEAF_FEATURES = 1;
const X2APIC = 1 << 21;
const TSC_DEADLINE = 1 << 24;

/** Brings a new vCPU into its first state, on the thread that will run it. */
export function setUpVcpu(vcpu: Vcpu, { cpus, entry }: VcpuSetup): void {
  const supported = vcpu.supportedCpuid();
  const cpuid = guestCpuid(supported, {
    apicId: vcpu.id,
    cpus,
    threadsPerCore: 1,
    x2apic: hasFeature(supported, X2APIC),
    tscDeadline: hasFeature(supported, TSC_DEADLINE),
  });
  vcpu.setCpuid(cpuid);
  const mtrrCap = vcpu.getMsrs([IA32_MTRRCAP])[0]?.value ?? 0n;
  const variableMtrrs = Number(mtrrCap & 0xffn);
  vcpu.setMsrs(initialMsrs({ variableMtrrs, addressBits: physicalAddressBits(cpuid) }));
  if (entry !== undefined) {
    vcpu.setSystemRegisters(entry.systemRegisters);
    vcpu.setRegisters(entry.registers);
  }
  const lapic = vcpu.getLapic();
  setUpLapicPins(lapic);
  vcpu.setLapic(lapic);
}

function hasFeature(cpuid: readonly CpuidEntry[], bit: number): boolean {
  return ((cpuid.find((e) => e.leaf === LEAF_FEATURES)?.ecx ?? 0) & bit) !== 0;
}
