/** The task-state segment of protected mode (Intel SDM vol. 3, 7.2.1 and 7.6). */
import { TR, VECTOR } from '../architecture.ts';
import type { CpuState } from './cpu-state.ts';
import { isPresent, SYSTEM_TYPE } from './descriptors.ts';

/** Whether TR holds a TSS of the 80286. */
export function isTss16(state: CpuState): boolean {
  return (state.segmentAttributes(TR) & 0xf & ~2) === SYSTEM_TYPE.tss16;
}

/** SS and rSP that the TSS has for an inner privilege. */
export function readTssStack(state: CpuState, cpl: number, ext: number): { selector: number; pointer: bigint } {
  const size = isTss16(state) ? 2 : 4;
  const offset = size === 2 ? 2 + cpl * 4 : 4 + cpl * 8;
  if (!isPresent(state.segmentAttributes(TR)) || offset + size + 1 > state.segmentLimit(TR)) {
    state.raise(VECTOR.ts, (state.selector(TR) & 0xfffc) | ext);
  }
  const at = (state.segmentBase(TR) + BigInt(offset)) & 0xffff_ffffn;
  return state.asSupervisor(() => ({
    pointer: state.read(at, size),
    selector: Number(state.read(at + BigInt(size), 2)),
  }));
}
