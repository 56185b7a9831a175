/** Runs batches of random sequences on both CPUs; keeps what differs, and which operations were executed. */
import type { CodeSize } from '../../src/hypervisor/soft/decode/insn.ts';
import { describe, differences } from './compare.ts';
import { Generator, Rows, randomMemory } from './generate.ts';
import { Host } from './host.ts';
import { CODE, CODE_PAGES, PAGE } from './layout.ts';
import { Random } from './random.ts';
import { Software, WAYS } from './software.ts';
import { MISSING, type Outcome, stepStarts, type TestCase, TIMED_OUT } from './test-case.ts';

export const BATCH = 1000;

/** A batch is determined by these, so they are what repeats it. */
export interface BatchId {
  readonly seed: number;
  readonly codeSize: CodeSize;
  /** Only these operations, if there are some. */
  readonly only?: ReadonlySet<string>;
}

export class Campaign {
  /** One text for each difference: the command that repeats it, the shortest sequence that shows it, the fields. */
  readonly failures: string[] = [];
  /** Operations that were executed to their end on both CPUs, with how often. */
  readonly covered = new Map<string, number>();
  /** What the software CPU has not implemented. */
  readonly missing = new Map<string, number>();
  cases = 0;
  readonly #host = new Host();
  readonly #software: Software;

  /** `jitThreshold`: executions of a block before it is compiled; Infinity: only the interpreter. */
  constructor(jitThreshold: number) {
    this.#software = new Software(jitThreshold);
  }

  close(): void {
    this.#host.close();
  }

  /** Runs a batch; gives the number of sequences that differ. */
  run(id: BatchId): number {
    const random = new Random(id.seed);
    const memory = randomMemory(random);
    const generator = new Generator(random, new Rows(id.codeSize, id.only), id.codeSize);
    const cases = Array.from({ length: BATCH }, () => generator.next());
    const host = this.#host.run(memory, cases);
    const software = this.#software.run(memory, cases);
    let failed = 0;
    cases.forEach((test, i) => {
      const lines = this.#judge(test, host[i]!, software[i]!);
      if (lines.length === 0) return;
      failed++;
      this.failures.push(this.#report(id, i, memory, test));
    });
    this.cases += cases.length;
    return failed;
  }

  #judge(test: TestCase, host: Outcome, software: Outcome): string[] {
    if (software.vector === MISSING) {
      const what = software.missing ?? 'unknown';
      this.missing.set(what, (this.missing.get(what) ?? 0) + 1);
      return [];
    }
    if (host.vector === TIMED_OUT || ranIntoChance(test, host)) return [];
    this.#cover(test, software);
    return differences(test, host, software);
  }

  /** Counts the steps before the one where the sequence ended. */
  #cover(test: TestCase, { rip }: Outcome): void {
    const starts = stepStarts(test.steps);
    const end = starts.indexOf(Number(rip) - CODE - test.offset);
    const hasBranch = test.steps.some((step) => step.branch !== undefined);
    const executed = end < 0 || (hasBranch && test.steps.length > 1) ? [] : test.steps.slice(0, end);
    for (const { op } of executed) this.covered.set(op, (this.covered.get(op) ?? 0) + 1);
    const [only] = test.steps;
    // An instruction that always faults, or goes elsewhere, is covered by doing so alone.
    if (executed.length === 0 && test.steps.length === 1)
      this.covered.set(only!.op, (this.covered.get(only!.op) ?? 0) + 1);
  }

  /** The case with as few instructions as still show a difference. */
  #report(id: BatchId, index: number, memory: Uint8Array, test: TestCase): string {
    const run = (candidate: TestCase) => {
      const host = this.#host.run(memory, [candidate])[0]!;
      if (host.vector === TIMED_OUT || ranIntoChance(candidate, host)) return [];
      // In all the ways in which sequences are run.
      const outcomes = this.#software.run(memory, Array(WAYS).fill(candidate));
      const lines = outcomes.map((software) =>
        software.vector === MISSING ? [] : differences(candidate, host, software),
      );
      return lines.find((list) => list.length > 0) ?? [];
    };
    let smallest = test;
    for (let k = 0; k < smallest.steps.length && smallest.steps.length > 1 && test.selfModifying !== true; ) {
      const candidate = without(smallest, k);
      if (run(candidate).length > 0) smallest = candidate;
      else k++;
    }
    const ops = id.only === undefined ? '' : ` --op ${[...id.only].join(',')}`;
    const command = `npm run fuzz -- cpu --seed ${id.seed} --batches 1${id.codeSize === 8 ? '' : ' --bits 32'}${ops}`;
    const lines = run(smallest);
    const state = lines.length > 0 ? lines : ['(only after the cases before it)'];
    return `${command}   # case ${index}\n${describe(smallest)}\n${state.map((line) => `    ${line}`).join('\n')}`;
  }
}

/** Whether code was overwritten with random bytes: they may be instructions that only the host has. */
function ranIntoChance(test: TestCase, { changes }: Outcome): boolean {
  if (test.selfModifying === true) return false;
  return changes.some(({ address }) => address >= CODE && address < CODE + CODE_PAGES * PAGE);
}

/** The case without step `index`; branches go where they went. */
function without(test: TestCase, index: number): TestCase {
  const steps = test.steps.flatMap((step, i) => {
    if (i === index) return [];
    if (step.branch === undefined || step.branch.to <= index) return [step];
    return [{ ...step, branch: { ...step.branch, to: step.branch.to - 1 } }];
  });
  return { ...test, steps };
}
