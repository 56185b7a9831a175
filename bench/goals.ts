/** What we are to reach against the program that a user would take instead. */

export interface Goal {
  readonly what: string;
  /**
   * How the measured number compares: `time` is ours divided by theirs, the other way round for `speed`; `count` counts,
   * `megabytes` is memory, and `milliseconds` is our time alone.
   */
  readonly measure: 'time' | 'speed' | 'count' | 'descriptors' | 'megabytes' | 'milliseconds';
  /** The least (of `time`, `megabytes` and `milliseconds` the most) that is acceptable. */
  readonly floor: number;
  readonly aim: number;
}

export const GOALS = {
  'boot-wall': { what: 'boot of vmlinux to /init against QEMU TCG, wall time', measure: 'time', floor: 1.5, aim: 1 },
  'boot-cpu': { what: 'boot of vmlinux to /init against QEMU TCG, CPU time', measure: 'time', floor: 1.5, aim: 1 },
  integer: { what: 'integer work against QEMU TCG', measure: 'speed', floor: 0.8, aim: 1.5 },
  float: { what: 'floating point against QEMU TCG', measure: 'speed', floor: 1.5, aim: 5 },
  process: { what: 'process work against QEMU TCG', measure: 'speed', floor: 0.7, aim: 1.2 },
  smp: { what: 'two vCPUs against one on a parallel job', measure: 'speed', floor: 1.4, aim: 1.8 },
  boots: { what: 'boots in a row without a hang, of 50', measure: 'count', floor: 50, aim: 50 },
  x86_32: { what: '32-bit guest against v86', measure: 'speed', floor: 2, aim: 3 },
  'disk-random': { what: 'qcow2, 4 KiB here and there, against qemu-img bench', measure: 'speed', floor: 0.7, aim: 1 },
  'disk-sequential': {
    what: 'raw and qcow2, 1 MiB in order, against qemu-img bench',
    measure: 'speed',
    floor: 0.9,
    aim: 1,
  },
  'disk-convert': {
    what: 'raw to qcow2, plain and zstd, against qemu-img convert',
    measure: 'speed',
    floor: 0.5,
    aim: 1,
  },
  'virtio-block': {
    what: 'a block device process, 4 KiB, against qemu-storage-daemon',
    measure: 'speed',
    floor: 0.7,
    aim: 1,
  },
  p9: {
    what: 'work in a folder that is shared by 9P, against QEMU',
    measure: 'speed',
    floor: 1,
    aim: 2,
  },
  'guest-fs-data': {
    what: 'reading and writing 256 MiB by virtio-fs, against QEMU TCG with virtiofsd',
    measure: 'speed',
    floor: 1,
    aim: 2,
  },
  'guest-fs-names': {
    what: 'find and tar by virtio-fs, against QEMU TCG with virtiofsd',
    measure: 'speed',
    floor: 1,
    aim: 2,
  },
  'virtio-fs': {
    what: 'file system requests at a protocol level, against virtiofsd',
    measure: 'speed',
    floor: 0.5,
    aim: 1,
  },
  'fs-memory': { what: 'memory for the files that a guest has found', measure: 'megabytes', floor: 64, aim: 32 },
  'fs-descriptors': { what: 'descriptors for them', measure: 'descriptors', floor: 1000, aim: 256 },
  'disk-memory': {
    what: 'memory for a qcow2 image of 1 TB, all tables used',
    measure: 'megabytes',
    floor: 64,
    aim: 32,
  },
  'io-random': { what: 'fio, 4 KiB here and there, against QEMU TCG', measure: 'speed', floor: 1, aim: 2 },
  'io-sequential': { what: 'fio, 128 KiB in order, against QEMU TCG', measure: 'speed', floor: 1, aim: 1.5 },
  'net-user': {
    what: 'iperf3, web requests and ping without privileges, against slirp',
    measure: 'speed',
    floor: 1,
    aim: 3,
  },
  'net-tap': { what: 'iperf3 and ping over TAP, against QEMU TCG', measure: 'speed', floor: 1, aim: 1.5 },
  'jail-time': {
    what: 'to fork and jail a device process, and its first answer',
    measure: 'milliseconds',
    floor: 20,
    aim: 8,
  },
  'jail-memory': { what: 'private memory of an idle device process', measure: 'megabytes', floor: 6, aim: 3 },
} as const satisfies Record<string, Goal>;

const LESS_IS_BETTER: ReadonlySet<Goal['measure']> = new Set(['time', 'descriptors', 'megabytes', 'milliseconds']);

export type GoalName = keyof typeof GOALS;

export type Verdict = 'aim reached' | 'floor reached' | 'below the floor';

export function verdict(goal: Goal, value: number): Verdict {
  const reaches = (limit: number) => (LESS_IS_BETTER.has(goal.measure) ? value <= limit : value >= limit);
  if (reaches(goal.aim)) return 'aim reached';
  return reaches(goal.floor) ? 'floor reached' : 'below the floor';
}
