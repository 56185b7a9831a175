import { Worker } from 'node:worker_threads';
import type { Job, Report } from './worker.ts';

/** A program that takes longer than this, many times what any takes, hangs. */
const HANGS_AFTER_MS = 60_000;

/** Runs hostile programs on a thread of their own. One that hangs, or ends the thread, is a failure like the others. */
export function runHostile(job: Omit<Job, 'begun'>): Promise<Report> {
  const begun = new SharedArrayBuffer(4);
  const counter = new Int32Array(begun);
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: { ...job, begun } satisfies Job });
  return new Promise((resolve) => {
    let last = 0;
    const fail = (line: string) => {
      const n = Atomics.load(counter, 0);
      finish({ programs: n, failures: [{ seed: job.seed + Math.max(0, n - 1), lines: [line] }], endings: NONE });
    };
    const timer = setInterval(() => {
      const now = Atomics.load(counter, 0);
      if (now === last) fail(`the program hangs: it has not ended within ${HANGS_AFTER_MS / 1000} seconds`);
      last = now;
    }, HANGS_AFTER_MS);
    const finish = (report: Report) => {
      clearInterval(timer);
      void worker.terminate();
      resolve(report);
    };
    worker.once('message', finish);
    worker.once('error', (error) => fail(`the thread has ended: ${String((error as Error).stack ?? error)}`));
  });
}

const NONE = { exited: 0, halted: 0, shutdown: 0, error: 0, stopped: 0 };
