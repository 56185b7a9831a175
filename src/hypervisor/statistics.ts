/** What vCPUs have done since their VM was made: counters that only go up, but for those that say so. */

/** Counters by name, in groups. Every number is finite and not negative. */
export interface Counters {
  readonly [name: string]: number | Counters;
}

/** Accesses outside of RAM, each by its width at most 8 bytes. */
export type AccessCounters = {
  readonly portReads: number;
  readonly portWrites: number;
  readonly mmioReads: number;
  readonly mmioWrites: number;
  readonly halts: number;
};

/** A vCPU of KVM: each exit from the guest is one of these. A string instruction on a port is one exit. */
export type KvmVcpuStatistics = {
  readonly exits: AccessCounters & {
    /** Level-triggered interrupts ended, with a split irqchip. */
    readonly endsOfInterrupt: number;
    /** The guest became able to take an interrupt that waited, with a split irqchip. */
    readonly interruptWindows: number;
    /** Kicks, and other signals to the thread. */
    readonly signals: number;
    readonly others: number;
  };
};

/** A vCPU of the software CPU. Names are those of the counters in soft/state.ts, where each is explained. */
export type SoftVcpuStatistics = {
  /** As of the last time that the vCPU looked up: at most some 100,000 instructions ago. */
  readonly instructions: number;
  readonly entries: number;
  readonly tlbMisses: number;
  readonly exits: AccessCounters & {
    /** Of all vectors. */
    readonly exceptions: number;
    readonly interrupts: number;
    readonly softwareInterrupts: number;
    readonly systemCallouts: number;
    readonly x87Callouts: number;
    readonly exactCallouts: number;
    readonly codeLookups: number;
  };
  /** By mnemonic (#PF); only those that there were. */
  readonly exceptions: { readonly [mnemonic: string]: number };
  readonly code: {
    /** Held now. */
    readonly blocks: number;
    readonly blocksMade: number;
    readonly blocksInvalidated: number;
    readonly drops: number;
  };
  readonly jit: {
    /** Live now: regions, bytes of WebAssembly, modules. */
    readonly regions: number;
    readonly bytes: number;
    readonly modules: number;
    /** Regions, since the start. */
    readonly compiled: number;
    readonly invalidated: number;
    readonly dropped: number;
    /** Compiled by earlier runs. */
    readonly kept: number;
  };
};

export type VcpuStatistics = KvmVcpuStatistics | SoftVcpuStatistics;

/** The sums of all counters, by name. */
export function sumOf(all: readonly Counters[]): Counters {
  const sum: Record<string, number | Counters> = {};
  const names = new Set(all.flatMap((counters) => Object.keys(counters)));
  for (const name of names) {
    const values = all.map((counters) => counters[name]).filter((value) => value !== undefined);
    const groups = values.filter((value) => typeof value !== 'number');
    const numbers = values.filter((value) => typeof value === 'number');
    sum[name] = groups.length > 0 ? sumOf(groups) : numbers.reduce((a, b) => a + b, 0);
  }
  return sum;
}
