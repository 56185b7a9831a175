/** Finds where two variants of the software CPU come apart that run the same deterministic guest. */
import type { VmConfig } from '../../src/vm/config.ts';
import { compareStates, type Differences, valueAt, type Watched, watched } from './compare.ts';
import { nextInstruction } from './instruction.ts';
import { BisectMachine, type Variant } from './machine.ts';

/** How much finer each pass looks than the one before. */
const FINER = 100;

export interface BisectOptions {
  /** The reference: it can be stopped at any instruction. */
  readonly a: Variant;
  /** What is looked at: stopped only at block ends, so that it does what it does undisturbed. */
  readonly b: Variant;
  /** Guest time in nanoseconds, which are instructions, between two comparisons of the first pass. */
  readonly every: number;
  /** Guest time to stop at; Infinity for the end of the guest. */
  readonly until: number;
  /** Gets a line after each pass. */
  readonly progress: (text: string) => void;
}

/** A stretch of guest time at whose start the variants are in the same state, and at whose end they are not. */
interface Stretch {
  readonly same: number;
  readonly different: number;
}

/** What differs, and the last instruction of the stretch that changed it on the reference; undefined: none did. */
export interface Suspect {
  readonly what: string;
  readonly instruction: string | undefined;
}

export interface Divergence extends Stretch {
  /** Instructions executed before the stretch. */
  readonly instructions: bigint;
  /** The instructions of the stretch: of the block in which the variants come apart, where that could be found. */
  readonly trace: readonly string[];
  /** The first instruction whose result differs. */
  readonly instruction: string | undefined;
  readonly suspects: readonly Suspect[];
  readonly differences: Differences;
}

/** Undefined: there is no difference up to `until` or the end of the guest. */
export async function bisect(config: VmConfig, options: BisectOptions): Promise<Divergence | undefined> {
  let stretch = await firstDifference(config, options, { same: 0, different: options.until }, options.every);
  if (stretch === undefined) return undefined;
  for (let every = options.every; every > 1; ) {
    every = Math.max(1, Math.floor(every / FINER));
    const finer = await firstDifference(config, options, stretch, every);
    // Stops at more places may keep it from happening: then the longer stretch is what can be said.
    if (finer === undefined) break;
    stretch = finer;
  }
  return describe(config, options, stretch);
}

async function firstDifference(
  config: VmConfig,
  options: BisectOptions,
  within: Stretch,
  every: number,
): Promise<Stretch | undefined> {
  using pair = await Pair.create(config, options);
  pair.runNear(within.same);
  let same = pair.time;
  while (same < within.different && !pair.ended) {
    pair.runNear(Math.min(same + every, within.different));
    if (pair.differences() !== undefined) {
      options.progress(`the same at ${same}, different at ${pair.time}`);
      return { same, different: pair.time };
    }
    same = pair.time;
  }
  options.progress(`no difference from ${within.same} to ${same}, looking each ${every}`);
  return undefined;
}

async function describe(config: VmConfig, options: BisectOptions, { same, different }: Stretch): Promise<Divergence> {
  const differences = await differencesAt(config, options, same, different);
  using a = await BisectMachine.create(config, options.a);
  a.runTo(same);
  const instructions = a.state.registers.get('instructions')!;
  const { trace, suspects } = traceTo(a, different, watched(differences));
  const first = trace.find((text) => suspects.some(({ instruction }) => instruction === text));
  return { same, different, instructions, trace, instruction: first, suspects, differences };
}

async function differencesAt(config: VmConfig, options: BisectOptions, same: number, different: number) {
  using pair = await Pair.create(config, options);
  if (same > 0) pair.runNear(same);
  pair.runNear(different);
  const differences = pair.differences();
  if (differences === undefined) throw new Error(`the difference at ${different} has not come again`);
  return differences;
}

/** Steps the reference, and notes which instruction changes each of `places` last. */
function traceTo(a: BisectMachine, time: number, places: readonly Watched[]) {
  const trace: string[] = [];
  const last = new Map<Watched, string>();
  const valuesNow = () => {
    const { state } = a;
    return places.map((place) => valueAt(state, place));
  };
  for (let values = valuesNow(); a.time < time && a.ended === undefined; ) {
    const text = `${trace.length}: ${nextInstruction(a.vcpu)}`;
    trace.push(text);
    a.runTo(a.time + 1);
    const after = valuesNow();
    places.forEach((place, i) => {
      if (after[i] !== values[i]) last.set(place, text);
    });
    values = after;
  }
  const suspects = places.map((place) => ({ what: place.text, instruction: last.get(place) }));
  return { trace, suspects };
}

class Pair implements Disposable {
  readonly #a: BisectMachine;
  readonly #b: BisectMachine;

  static async create(config: VmConfig, options: BisectOptions): Promise<Pair> {
    using resources = new DisposableStack();
    const a = resources.use(await BisectMachine.create(config, options.a));
    const b = resources.use(await BisectMachine.create(config, options.b));
    resources.move();
    return new Pair(a, b);
  }

  private constructor(a: BisectMachine, b: BisectMachine) {
    this.#a = a;
    this.#b = b;
  }

  [Symbol.dispose](): void {
    this.#a[Symbol.dispose]();
    this.#b[Symbol.dispose]();
  }

  /** Guest time of the variant that is looked at. */
  get time(): number {
    return this.#b.time;
  }

  get ended(): boolean {
    return this.#b.ended !== undefined;
  }

  /** Runs `b` to the first block end at `time` or later, and `a` to the same time. */
  runNear(time: number): void {
    this.#b.runNear(time);
    this.#a.runTo(this.#b.time);
  }

  differences(): Differences | undefined {
    const ends = this.#a.ended === this.#b.ended ? [] : [`a: ${this.#a.ended}, b: ${this.#b.ended}`];
    return compareStates(this.#a.state, this.#b.state, ends);
  }
}
