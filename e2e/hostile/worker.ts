/** The thread that runs hostile programs: it may hang, and whoever started it watches. */
import { parentPort, workerData } from 'node:worker_threads';
import { differences } from './compare.ts';
import { programOf } from './generate.ts';
import { type Ending, type Execution, HostileMachine } from './machine.ts';

export interface Job {
  readonly seed: number;
  /** Programs to run: of the seeds from `seed` on. */
  readonly programs: number;
  /** Milliseconds after which no more are begun. */
  readonly milliseconds: number;
  /** Kinds of attacks; undefined for all. */
  readonly attacks?: readonly string[];
  /** One i32: how many programs have been begun. */
  readonly begun: SharedArrayBuffer;
}

export interface Report {
  readonly programs: number;
  readonly failures: readonly Failure[];
  /** How often programs ended in each way, on the first machine. */
  readonly endings: Readonly<Record<Ending, number>>;
}

export interface Failure {
  readonly seed: number;
  readonly lines: readonly string[];
}

/** Interpreted, in long runs: what all other ways to execute must come to. */
const REFERENCE: Execution = { soft: { jitThreshold: Number.POSITIVE_INFINITY } };
const VARIANTS = {
  /** Looks at everything else after each block of few instructions. */
  interrupted: { soft: { jitThreshold: Number.POSITIVE_INFINITY, blockLength: 2 }, budget: 1 },
  /** Compiles what is executed a few times, and what has waited for some looks. */
  compiled: { soft: { jitThreshold: 2 }, budget: 150 },
  /** Compiles each block before it is executed. That takes long. */
  eager: { soft: { jitThreshold: 0 } },
} as const satisfies Record<string, Execution>;
type Variant = keyof typeof VARIANTS;

/** How a program is executed for the second time. */
function variantOf(seed: number): Variant {
  if (seed % 64 === 1) return 'eager';
  return seed % 4 === 2 ? 'interrupted' : 'compiled';
}

const MOST_FAILURES = 20;
/** Programs between two looks at the size of the process, and its bytes at most: with all machines at work it has half. */
const LOOK_EVERY = 50;
const MOST_MEMORY = 1.5 * 2 ** 30;

function run({ seed, programs, milliseconds, attacks, begun }: Job): Report {
  const end = performance.now() + milliseconds;
  const counter = new Int32Array(begun);
  using machines = new Machines();
  const failures: Failure[] = [];
  const endings = { exited: 0, halted: 0, shutdown: 0, error: 0, stopped: 0 };
  let n = 0;
  for (; n < programs && performance.now() < end && failures.length < MOST_FAILURES; n++) {
    Atomics.store(counter, 0, n + 1);
    const lines = judge(seed + n, attacks, machines);
    if (lines.length > 0) failures.push({ seed: seed + n, lines });
    const { ending } = machines.reference;
    if (ending !== 'running') endings[ending]++;
    if (n % LOOK_EVERY === 0 && process.memoryUsage.rss() > MOST_MEMORY) {
      failures.push({ seed: seed + n, lines: [`the process has grown to ${process.memoryUsage.rss()} bytes`] });
      break;
    }
  }
  return { programs: n, failures, endings };
}

/** The machines of one run, made when they are first needed. */
class Machines {
  readonly reference = new HostileMachine(REFERENCE);
  readonly #variants = new Map<Variant, HostileMachine>();

  get(variant: Variant): HostileMachine {
    const machine = this.#variants.get(variant) ?? new HostileMachine(VARIANTS[variant]);
    this.#variants.set(variant, machine);
    return machine;
  }

  [Symbol.dispose](): void {
    for (const machine of [this.reference, ...this.#variants.values()]) machine[Symbol.dispose]();
  }
}

function judge(seed: number, attacks: Job['attacks'], machines: Machines): string[] {
  try {
    const program = programOf(seed, attacks);
    const variant = variantOf(seed);
    const lines = differences(program, machines.reference, machines.get(variant));
    return lines.length > 0 ? [`${program.mode} mode, interpreted and ${variant} differ`, ...lines] : [];
  } catch (error) {
    return [String((error as Error).stack ?? error)];
  }
}

parentPort!.postMessage(run(workerData as Job) satisfies Report);
