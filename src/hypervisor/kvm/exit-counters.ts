import type { KvmVcpuStatistics } from '../statistics.ts';

/** Kinds of exits, in the order of their counters. */
export const EXIT = {
  portReads: 0,
  portWrites: 1,
  mmioReads: 2,
  mmioWrites: 3,
  halts: 4,
  endsOfInterrupt: 5,
  interruptWindows: 6,
  signals: 7,
  others: 8,
} as const;
const KINDS = Object.keys(EXIT).length;

/** How often a vCPU left its guest, by kind: counted by its thread, read by any. */
export class ExitCounters {
  readonly #counters: Float64Array;

  /** What the counters of `cpus` vCPUs need. */
  static allocate(cpus: number): SharedArrayBuffer {
    return new SharedArrayBuffer(cpus * KINDS * Float64Array.BYTES_PER_ELEMENT);
  }

  constructor(buffer: SharedArrayBuffer, id: number) {
    this.#counters = new Float64Array(buffer, id * KINDS * Float64Array.BYTES_PER_ELEMENT, KINDS);
  }

  count(kind: number): void {
    this.#counters[kind]!++;
  }

  read(): KvmVcpuStatistics {
    const counts = Object.entries(EXIT).map(([name, kind]) => [name, this.#counters[kind]!]);
    return { exits: Object.fromEntries(counts) as KvmVcpuStatistics['exits'] };
  }
}
