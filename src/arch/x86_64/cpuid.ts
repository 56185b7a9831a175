import type { CpuidEntry } from '../../hypervisor/hypervisor.ts';

/** What a vCPU's CPUID must say beyond what the hypervisor offers. */
export interface CpuidConfig {
  /** Of this vCPU. */
  readonly apicId: number;
  readonly cpus: number;
  /** 2 makes pairs of hyper-threads (only for an even number of vCPUs), 1 makes every vCPU a core. */
  readonly threadsPerCore: 1 | 2;
  /** Whether the interrupt chip has x2APIC mode and the TSC deadline timer. */
  readonly x2apic: boolean;
  readonly tscDeadline: boolean;
}

/** APIC ids are vCPU numbers: with two threads a core, bit 0 is the thread. */
interface Topology {
  readonly threads: number;
  /** How many bits of the APIC id number the threads of a core, and all vCPUs of the package. */
  readonly threadBits: number;
  readonly packageBits: number;
}

const LEAF_FEATURES = 1;
const LEAF_CACHES = 4;
const LEAF_POWER = 6;
const LEAF_TOPOLOGY = 0xb;
const LEAF_TOPOLOGY_V2 = 0x1f;
const LEAF_SIZES = 0x8000_0008;
const LEAF_AMD_CACHES = 0x8000_001d;
const LEAF_AMD_TOPOLOGY = 0x8000_001e;
const LEAF_BASIC_MAX = 0;

/** Leaf 1 ECX. */
const X2APIC = 1 << 21;
const TSC_DEADLINE = 1 << 24;
const HYPERVISOR = 1 << 31;
/** Leaf 1 EDX. */
const HTT = 1 << 28;
/** Leaf 1 EBX: lines of 8 * 8 bytes for CLFLUSH. */
const CLFLUSH_UNITS = 8;
/** Leaf 6 ECX: energy and performance bias, an MSR that guests do not have. */
const ENERGY_BIAS = 1 << 3;
const LEVEL_SMT = 1;
const LEVEL_CORE = 2;
/** Caches of level 1 and 2 belong to a core, higher ones to the package. */
const LAST_PRIVATE_CACHE_LEVEL = 2;

/**
 * The CPUID of one vCPU, made from what the hypervisor supports (Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E):
 * APIC id, topology, and the features that depend on the machine rather than on the CPU. Everything else passes.
 */
export function guestCpuid(supported: readonly CpuidEntry[], config: CpuidConfig): CpuidEntry[] {
  const topology = topologyOf(config);
  const isTopology = (e: CpuidEntry) => e.leaf === LEAF_TOPOLOGY || e.leaf === LEAF_TOPOLOGY_V2;
  const hasV2 = supported.some((e) => e.leaf === LEAF_TOPOLOGY_V2);
  return [
    ...supported.filter((e) => !isTopology(e)).map((e) => edit(e, config, topology)),
    ...topologyLeaf(LEAF_TOPOLOGY, config, topology),
    ...(hasV2 ? topologyLeaf(LEAF_TOPOLOGY_V2, config, topology) : []),
  ];
}

/** Bits of a guest physical address by leaf 0x80000008; 36, the least of any 64-bit CPU, where it is not given. */
export function physicalAddressBits(cpuid: readonly CpuidEntry[]): number {
  const bits = (cpuid.find((e) => e.leaf === LEAF_SIZES)?.eax ?? 0) & 0xff;
  return bits >= 32 && bits <= 52 ? bits : 36;
}

function edit(e: CpuidEntry, config: CpuidConfig, topology: Topology): CpuidEntry {
  switch (e.leaf) {
    case LEAF_BASIC_MAX:
      return { ...e, eax: Math.max(e.eax, LEAF_TOPOLOGY) };
    case LEAF_FEATURES:
      return features(e, config);
    case LEAF_CACHES:
      return cache(e, topology, (1 << (topology.packageBits - topology.threadBits)) - 1);
    case LEAF_AMD_CACHES:
      return cache(e, topology, 0);
    case LEAF_POWER:
      return { ...e, ecx: e.ecx & ~ENERGY_BIAS };
    case LEAF_SIZES:
      // ECX: number of threads less one, and bits of the APIC id within the package.
      return { ...e, ecx: ((config.cpus - 1) & 0xff) | (Math.min(topology.packageBits, 15) << 12) };
    case LEAF_AMD_TOPOLOGY:
      return {
        ...e,
        eax: config.apicId,
        ebx: ((config.apicId >>> topology.threadBits) & 0xff) | ((topology.threads - 1) << 8),
        ecx: 0,
      };
    default:
      return e;
  }
}

function features(e: CpuidEntry, config: CpuidConfig): CpuidEntry {
  const flag = (on: boolean, bit: number) => (on ? bit : 0);
  return {
    ...e,
    ebx:
      ((e.ebx & 0xff) | (CLFLUSH_UNITS << 8) | (Math.min(config.cpus, 0xff) << 16) | ((config.apicId & 0xff) << 24)) >>>
      0,
    ecx:
      ((e.ecx & ~(X2APIC | TSC_DEADLINE)) |
        HYPERVISOR |
        flag(config.x2apic, X2APIC) |
        flag(config.tscDeadline, TSC_DEADLINE)) >>>
      0,
    edx: ((e.edx & ~HTT) | flag(config.cpus > 1, HTT)) >>> 0,
  };
}

/** EAX of a cache leaf: bits 25-14 threads that share it less one, bits 31-26 `coreIds`; an empty one ends the list. */
function cache(e: CpuidEntry, topology: Topology, coreIds: number): CpuidEntry {
  if ((e.eax & 0x1f) === 0) return e;
  const isPrivate = ((e.eax >>> 5) & 7) <= LAST_PRIVATE_CACHE_LEVEL;
  const sharing = (1 << (isPrivate ? topology.threadBits : topology.packageBits)) - 1;
  const eax = (e.eax & 0x3fff) | (Math.min(sharing, 0xfff) << 14) | (Math.min(coreIds, 0x3f) << 26);
  return { ...e, eax: eax >>> 0 };
}

/** Leaf 0xb or 0x1f: one subleaf for threads, one for cores, an empty one. */
function topologyLeaf(leaf: number, config: CpuidConfig, topology: Topology): CpuidEntry[] {
  const level = (subleaf: number, shift: number, count: number, type: number): CpuidEntry => ({
    leaf,
    subleaf,
    indexed: true,
    eax: shift,
    ebx: count & 0xffff,
    ecx: subleaf | (type << 8),
    edx: config.apicId,
  });
  return [
    level(0, topology.threadBits, topology.threads, LEVEL_SMT),
    level(1, topology.packageBits, config.cpus, LEVEL_CORE),
    level(2, 0, 0, 0),
  ];
}

function topologyOf(config: CpuidConfig): Topology {
  const threads = config.cpus % config.threadsPerCore === 0 ? config.threadsPerCore : 1;
  return { threads, threadBits: threads - 1, packageBits: 32 - Math.clz32(config.cpus - 1) };
}
