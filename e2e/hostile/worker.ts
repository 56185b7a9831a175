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
  /** Two ways to execute that must come to the same. */
  readonly executions: readonly [Execution, Execution];
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

const MOST_FAILURES = 20;
/** Programs after which everything that stays has been allocated, and how much the process may grow from then on. */
const WARM_AFTER = 150;
const MOST_GROWTH = 300 << 20;

function run({ seed, programs, milliseconds, attacks, executions, begun }: Job): Report {
  const end = performance.now() + milliseconds;
  const counter = new Int32Array(begun);
  using a = new HostileMachine(executions[0]);
  using b = new HostileMachine(executions[1]);
  const failures: Failure[] = [];
  const endings = { exited: 0, halted: 0, shutdown: 0, error: 0, stopped: 0 };
  let warm = Number.POSITIVE_INFINITY;
  let n = 0;
  for (; n < programs && performance.now() < end && failures.length < MOST_FAILURES; n++) {
    Atomics.store(counter, 0, n + 1);
    const lines = judge(seed + n, attacks, a, b);
    if (lines.length > 0) failures.push({ seed: seed + n, lines });
    if (a.ending !== 'running') endings[a.ending]++;
    const { rss } = process.memoryUsage;
    if (n === WARM_AFTER) warm = rss();
    if (n % WARM_AFTER === 0 && rss() > warm + MOST_GROWTH) {
      failures.push({ seed: seed + n, lines: [`the process has grown from ${warm} to ${rss()} bytes`] });
      break;
    }
  }
  return { programs: n, failures, endings };
}

function judge(seed: number, attacks: Job['attacks'], a: HostileMachine, b: HostileMachine): string[] {
  try {
    const program = programOf(seed, attacks);
    const lines = differences(program, a, b);
    return lines.length > 0 ? [`${program.mode} mode, the two executions differ`, ...lines] : [];
  } catch (error) {
    return [String((error as Error).stack ?? error)];
  }
}

parentPort!.postMessage(run(workerData as Job) satisfies Report);
