import { basicCases } from './basics.ts';
import type { BareMetalCase } from './case.ts';

/** All cases, for every hypervisor. */
export const BARE_METAL_CASES: readonly BareMetalCase[] = [...basicCases];
