/** Reads the counters in a vCPU's block; from any thread, while the vCPU runs. */
import type { SoftVcpuStatistics } from '../statistics.ts';
import { CPU, CPU_SIZE, EXCEPTION_VECTORS } from './state.ts';

const MNEMONICS: readonly (string | undefined)[] = [
  ...['#DE', '#DB', undefined, '#BP', '#OF', '#BR', '#UD', '#NM', '#DF', undefined, '#TS', '#NP', '#SS', '#GP', '#PF'],
  ...[undefined, '#MF', '#AC', '#MC', '#XM'],
];

/** `block`: where the vCPU's block is in `buffer`. */
export function readStatistics(buffer: ArrayBufferLike, block: number): SoftVcpuStatistics {
  const counters = new Float64Array(buffer, block, CPU_SIZE / 8);
  const at = (field: number) => counters[field >> 3]!;
  const exceptions = exceptionsOf(at);
  return {
    instructions: at(CPU.instructions),
    entries: at(CPU.entries),
    tlbMisses: at(CPU.tlbMisses),
    exits: {
      portReads: at(CPU.portReads),
      portWrites: at(CPU.portWrites),
      mmioReads: at(CPU.mmioReads),
      mmioWrites: at(CPU.mmioWrites),
      halts: at(CPU.halts),
      exceptions: Object.values(exceptions).reduce((sum, n) => sum + n, 0),
      interrupts: at(CPU.interrupts),
      softwareInterrupts: at(CPU.softwareInterrupts),
      systemCallouts: at(CPU.systemCallouts),
      x87Callouts: at(CPU.x87Callouts),
      exactCallouts: at(CPU.exactCallouts),
      codeLookups: at(CPU.codeLookups),
    },
    exceptions,
    code: {
      blocks: at(CPU.blocks),
      blocksMade: at(CPU.blocksMade),
      blocksInvalidated: at(CPU.blocksInvalidated),
      drops: at(CPU.codeDrops),
    },
    jit: {
      regions: at(CPU.jitRegions),
      bytes: at(CPU.jitBytes),
      modules: at(CPU.jitModules),
      compiled: at(CPU.jitCompiled),
      invalidated: at(CPU.jitInvalidated),
      dropped: at(CPU.jitDropped),
      kept: at(CPU.jitKept),
    },
  };
}

function exceptionsOf(at: (field: number) => number): Record<string, number> {
  const found: Record<string, number> = {};
  for (let vector = 0; vector < EXCEPTION_VECTORS; vector++) {
    const count = at(CPU.exceptions + 8 * vector);
    if (count > 0) found[MNEMONICS[vector] ?? `#${vector}`] = count;
  }
  return found;
}
