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
const cSetrlimit = libc<(resource: number, limit: BigUint64Array) => number>('int setrlimit(int, const void *)');

/** Capabilities are numbered from 0 to this. Read at once, as there is no /proc in a jail. */
const lastCapability = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));

/** Gives up all capabilities, also those that a program which is started could get. */
export function dropCapabilities(): void {
  for (let capability = 0; capability <= lastCapability; capability++) {
    prctl('PR_CAPBSET_DROP', PR_CAPBSET_DROP, capability);
  }
  prctl('PR_CAP_AMBIENT', PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  check(cCapset(Uint32Array.of(LINUX_CAPABILITY_VERSION_3, 0), new Uint32Array(6)), 'capset');
}

/** Leaves all supplementary groups; false if that is not allowed. */
export function leaveGroups(): boolean {
  return cSetgroups(0, 0) === 0;
}

/** Sets a limit (RLIMIT_) for good. */
export function setLimit(resource: number, value: number): void {
  check(cSetrlimit(resource, BigUint64Array.of(BigInt(value), BigInt(value))), 'setrlimit');
}
