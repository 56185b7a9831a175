/** Faults that instructions meet before anything else: by privilege, by mode, by the state of the floating-point unit. */
import { CR0, CR4, VECTOR } from '../architecture.ts';
import type { CpuState } from './cpu-state.ts';

/** #GP(0) unless the privilege is 0. */
export function requirePrivilege0(state: CpuState): void {
  if (state.cpl !== 0) state.raise(VECTOR.gp);
}

/** #UD in real and virtual-8086 mode. */
export function requireProtected(state: CpuState): void {
  if (!state.isProtected || state.isVirtual8086) state.raise(VECTOR.ud);
}

export type FpuKind = 'x87' | 'mmx' | 'sse' | 'wait';

/** The faults that floating-point and vector instructions meet first (SDM vol. 3, 2.5 and 13.1). */
export function checkFpu(state: CpuState, kind: FpuKind): void {
  const cr0 = state.cr0;
  const switched = (cr0 & CR0.ts) !== 0;
  if (kind === 'wait') {
    if (switched && (cr0 & CR0.mp) !== 0) state.raise(VECTOR.nm);
    return;
  }
  if (kind !== 'x87') {
    if ((cr0 & CR0.em) !== 0) state.raise(VECTOR.ud);
    if (kind === 'sse' && (state.cr4 & CR4.osfxsr) === 0) state.raise(VECTOR.ud);
  }
  if (switched || (cr0 & CR0.em) !== 0) state.raise(VECTOR.nm);
}
