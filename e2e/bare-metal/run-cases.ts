import { after, test } from 'node:test';
import { assemblerMissing } from './assemble.ts';
import type { BareMetalCase } from './cases/case.ts';
import { BareMetalHarness, type Target } from './harness.ts';

/** Longer than the harness lets a guest run, whose failure says more. */
const TIMEOUT_MS = 30_000;

/**
 * Registers a test for each case on one hypervisor. A case that cannot run there is skipped with the reason; `missing`
 * is why none can.
 */
export function runCases(target: Target, cases: readonly BareMetalCase[], missing?: string): void {
  const skipAll = missing ?? assemblerMissing();
  let harness: Promise<BareMetalHarness> | undefined;
  after(async () => (await harness)?.close());
  for (const { name, needs = [], run } of cases) {
    const skip = skipAll || needs.map((need) => target.lacks[need]).find((reason) => reason !== undefined) || false;
    test(`${target.name}: ${name}`, { skip, timeout: TIMEOUT_MS }, async () =>
      run(await (harness ??= BareMetalHarness.open(target))),
    );
  }
}
