import type { BareMetalHarness, Need } from '../harness.ts';

/** One thing that a guest does, and what must come of it on every hypervisor. */
export interface BareMetalCase {
  readonly name: string;
  readonly needs?: readonly Need[];
  run(harness: BareMetalHarness): Promise<void>;
}
