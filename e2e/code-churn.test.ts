/** What the JIT holds stays bounded while a guest produces new code for ever: an accelerated case of a long day's work. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { assemblerMissing } from './bare-metal/assemble.ts';
import { sumOfFunctions } from './code-churn/guest.ts';
import type { Churn, ChurnReport, Sample } from './code-churn/worker.ts';

const MIB = 1 << 20;
/** What compiled code may cost the process at most, whatever the guest does. */
const MOST_MODULES = 1024;
const MOST_REGIONS = 16_384;
const MOST_BYTES = 64 * MIB;
const MOST_BLOCKS = 1 << 17;
const MOST_MAPPINGS = 2500;
/** From the middle of the run to its end. */
const MOST_GROWTH = 128 * MIB;

async function churn(t: TestContext, options: Churn): Promise<readonly Sample[]> {
  const worker = new Worker(new URL('./code-churn/worker.ts', import.meta.url), { workerData: options });
  const [{ samples, sum }] = (await once(worker, 'message')) as [ChurnReport];
  assert.equal(sum, sumOfFunctions(options.functions));
  const last = samples.at(-1)!;
  const most = (of: (sample: Sample) => number) => Math.max(...samples.map(of));
  const pause = most(({ longestPause }) => longestPause).toFixed(0);
  t.diagnostic(`${JSON.stringify(last.jit)}; at most ${most(({ mappings }) => mappings)} mappings`);
  t.diagnostic(`${(most(({ rss }) => rss) / MIB).toFixed(0)} MiB; longest pause for garbage ${pause} ms`);
  return samples;
}

function assertBounded(samples: readonly Sample[]): void {
  for (const { jit, blocks, mappings } of samples) {
    assert.equal(jit.compiled, jit.regions + jit.invalidated + jit.dropped);
    assert.ok(jit.modules <= MOST_MODULES, `${jit.modules} modules`);
    assert.ok(jit.regions <= MOST_REGIONS, `${jit.regions} regions`);
    assert.ok(jit.bytes <= MOST_BYTES, `${jit.bytes} bytes`);
    assert.ok(blocks <= MOST_BLOCKS, `${blocks} blocks`);
    assert.ok(mappings <= MOST_MAPPINGS, `${mappings} mappings`);
  }
  const half = samples.length >> 1;
  const rss = (some: readonly Sample[]) => Math.max(...some.map((sample) => sample.rss));
  const [before, after] = [rss(samples.slice(0, half)), rss(samples.slice(half))];
  assert.ok(after < before + MOST_GROWTH, `${before} bytes in the first half, ${after} in the second`);
}

const skip = assemblerMissing();

test('tens of thousands of regions in thousands of modules', { skip }, async (t) => {
  const samples = await churn(t, { functions: 50_000, jitThreshold: 20, budget: 150 });
  assertBounded(samples);
  const { jit } = samples.at(-1)!;
  assert.ok(jit.compiled > 30_000, `${jit.compiled} compiled`);
  assert.ok(jit.dropped > 10_000, `${jit.dropped} dropped`);
});

test('compiled code that is overwritten', { skip }, async (t) => {
  const samples = await churn(t, { functions: 30_000, jitThreshold: 20, budget: 3000 });
  assertBounded(samples);
  const { jit } = samples.at(-1)!;
  assert.ok(jit.invalidated > 2000, `${jit.invalidated} invalidated`);
});
