/** What guests are given to do: lines for their shell, in a folder with the files that the lines use. */
import { fetchProgram } from '../tools/guest-program.ts';
import type { GuestFile } from '../tools/initramfs.ts';
import type { GoalName } from './goals.ts';
import { compileGuestProgram } from './guest-programs.ts';
import { dataFiles } from './workload-data.ts';

export interface Workload {
  readonly name: string;
  /** Prints what it computed, so that a wrong result is found. */
  readonly command: string;
  /** Measured, but not a part of the group's mean. */
  readonly extra?: boolean;
}

export interface WorkloadGroup {
  readonly goal: GoalName;
  readonly files: readonly GuestFile[];
  /** Makes what the workloads read; not timed. */
  readonly setup: readonly string[];
  readonly workloads: readonly Workload[];
}

const QUERIES = `
CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  INSERT INTO t SELECT i, (i * 7919) % 60013, 'row ' || i FROM n;
CREATE INDEX byB ON t(b);
SELECT count(*), sum(b), max(c) FROM t WHERE b % 7 = 3;
SELECT sum(x.a) FROM t x JOIN t y ON x.b = y.a WHERE y.b % 3 = 0;
UPDATE t SET c = c || ' changed' WHERE b < 10000;
SELECT sum(length(c)) FROM t;
SELECT c FROM t ORDER BY c DESC LIMIT 3;
`;

const shellLoop = (rounds: number) => `i=0; while [ $i -lt ${rounds} ]; do i=$((i+1)); done; echo $i`;

/** Programs of busybox: what every guest has, of whatever architecture. */
const BUSYBOX_SETUP = ['cat log log log log log >text', 'cat text text text text >large'];
const BUSYBOX_WORK: readonly Workload[] = [
  { name: 'sha256sum of 24 MB', command: 'sha256sum large' },
  { name: 'gzip of 6 MB', command: 'gzip -c text | wc -c' },
  { name: 'sort of 100,000 lines', command: 'sort random | md5sum' },
  { name: 'shell loop of 100,000', command: shellLoop(100_000) },
];

export async function integerGroup(): Promise<WorkloadGroup> {
  const sqlite = await fetchProgram('sqlite3');
  const queries = { name: 'queries.sql', data: new TextEncoder().encode(QUERIES) };
  return {
    goal: 'integer',
    files: [...dataFiles(), ...sqlite.files, queries],
    setup: BUSYBOX_SETUP,
    workloads: [
      ...BUSYBOX_WORK,
      { name: 'sqlite, 60,000 rows', command: `${sqlite.command} :memory: '.read queries.sql'` },
    ],
  };
}

export function group32(): WorkloadGroup {
  return { goal: 'x86_32', files: dataFiles(), setup: BUSYBOX_SETUP, workloads: BUSYBOX_WORK };
}

export async function floatGroup(): Promise<WorkloadGroup> {
  return {
    goal: 'float',
    files: await programs('nbody', 'mandelbrot', 'matrix'),
    setup: [],
    workloads: [
      { name: 'n bodies, scalar', command: './nbody 1000000' },
      { name: 'Mandelbrot set, scalar', command: './mandelbrot scalar 1500' },
      { name: 'Mandelbrot set, SSE2', command: './mandelbrot packed 1500' },
      { name: 'matrix product, SSE2', command: './matrix 160 50' },
    ],
  };
}

export async function processGroup(): Promise<WorkloadGroup> {
  return {
    goal: 'process',
    files: await programs('process'),
    setup: [],
    workloads: [
      { name: 'fork and exec, 500', command: './process exec 500' },
      { name: 'pipe between processes, 30,000 round trips', command: './process pipe 30000' },
      { name: 'page faults, 153,600', command: './process fault 600' },
      { name: 'fork, 500', command: './process fork 500', extra: true },
      { name: 'getpid, 1,000,000', command: './process getpid 1000000', extra: true },
    ],
  };
}

/** As many processes as there are vCPUs in the larger of the two guests. */
export async function parallelGroup(): Promise<WorkloadGroup> {
  return {
    goal: 'smp',
    files: await programs('parallel'),
    setup: [],
    workloads: [{ name: 'two processes', command: './parallel 2 10000000' }],
  };
}

async function programs(...names: string[]): Promise<GuestFile[]> {
  return Promise.all(names.map(compileGuestProgram));
}
