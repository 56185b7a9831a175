import { basicCases } from './basics.ts';
import type { BareMetalCase } from './case.ts';
import { debugCases } from './debug.ts';
import { exceptionCases } from './exceptions.ts';
import { hostileCases } from './hostile.ts';
import { interruptCases } from './interrupts.ts';
import { ioEventCases } from './io-events.ts';
import { irqfdCases } from './irqfd.ts';
import { litmusCases } from './litmus.ts';
import { lockedCases } from './locked.ts';
import { mappedFileCases } from './mapped-files.ts';
import { memoryCases } from './memory.ts';
import { segmentCases } from './segments.ts';
import { shootdownCases } from './shootdown.ts';
import { smpCases } from './smp.ts';
import { stateCases } from './state.ts';
import { statisticsCases } from './statistics.ts';
import { timerCases } from './timers.ts';
import { windowCases } from './windows.ts';

/** All cases, for every hypervisor. */
export const BARE_METAL_CASES: readonly BareMetalCase[] = [
  ...basicCases,
  ...exceptionCases,
  ...memoryCases,
  ...mappedFileCases,
  ...hostileCases,
  ...segmentCases,
  ...interruptCases,
  ...windowCases,
  ...irqfdCases,
  ...timerCases,
  ...ioEventCases,
  ...smpCases,
  ...lockedCases,
  ...litmusCases,
  ...shootdownCases,
  ...debugCases,
  ...stateCases,
  ...statisticsCases,
];
