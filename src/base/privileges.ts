/** What the calling thread may do (capabilities(7)), and how much it may use (getrlimit(2)). */
import { readFileSync } from 'node:fs';
import { check, libc } from './ffi.ts';
import { prctl } from './prctl.ts';

export const RLIMIT_CORE = 4;
export const RLIMIT_NPROC = 6;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_MSGQUEUE = 12;

const PR_CAPBSET_DROP = 24;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;

const cCapset = libc<(header: Uint32Array, data: Uint32Array) => number>('int capset(void *, const void *)');
const cSetgroups = libc<(count: number, groups: number) => number>('int setgroups(size_t, int64_t)');
const cGetrlimit = libc<(resource: number, limit: BigUint64Array) => number>('int getrlimit(int, void *)');
const cSetrlimit = libc<(resource: number, limit: BigUint64Array) => number>('int setrlimit(int, const void *)');

/** Capabilities are numbered from 0 to this. Read at once, as there is no /proc in a jail. */
const lastCapability = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));

/** Capabilities on files that others own: to read, change, own and make them, in anybody's name. */
export const FILE_CAPABILITIES: readonly number[] = [
  0, // CAP_CHOWN
  1, // CAP_DAC_OVERRIDE
  2, // CAP_DAC_READ_SEARCH
  3, // CAP_FOWNER
  4, // CAP_FSETID
  6, // CAP_SETGID
  7, // CAP_SETUID
  8, // CAP_SETPCAP
  27, // CAP_MKNOD
  31, // CAP_SETFCAP
];

/** Gives up all capabilities but `kept` (numbers below 32), also those that a program which is started could get. */
export function dropCapabilities(kept: readonly number[] = []): void {
  for (let capability = 0; capability <= lastCapability; capability++) {
    if (!kept.includes(capability)) prctl('PR_CAPBSET_DROP', PR_CAPBSET_DROP, capability);
  }
  prctl('PR_CAP_AMBIENT', PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  const mask = kept.reduce((set, capability) => set | (1 << capability), 0);
  // struct __user_cap_data_struct: effective, permitted, inheritable; for capabilities below 32, and for the others.
  check(cCapset(Uint32Array.of(LINUX_CAPABILITY_VERSION_3, 0), Uint32Array.of(mask, mask, 0, 0, 0, 0)), 'capset');
}

/** Leaves all supplementary groups; false if that is not allowed. */
export function leaveGroups(): boolean {
  return cSetgroups(0, 0) === 0;
}

/** Sets a limit (RLIMIT_) for good, to what it can be at most if that is less. */
export function lowerLimit(resource: number, value: number): void {
  const limits = new BigUint64Array(2);
  check(cGetrlimit(resource, limits), 'getrlimit');
  setLimit(resource, Math.min(value, Number(limits[1]!)));
}

/** Sets a limit (RLIMIT_) for good. */
export function setLimit(resource: number, value: number): void {
  check(cSetrlimit(resource, BigUint64Array.of(BigInt(value), BigInt(value))), 'setrlimit');
}
