/** What the calling thread may do (capabilities(7)), and how much it may use (getrlimit(2)). */
import { check, libc } from './ffi.ts';

export const RLIMIT_CORE = 4;
export const RLIMIT_NPROC = 6;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_MSGQUEUE = 12;

const PR_CAPBSET_DROP = 24;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
/** Capabilities are numbered from 0; the kernel says EINVAL to the first that it does not have. */
const MAX_CAPABILITIES = 64;
const LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;

const cPrctl = libc<(option: number, a: number, b: number, c: number, d: number) => number>(
  'int prctl(int, int64_t, int64_t, int64_t, int64_t)',
);
const cCapset = libc<(header: Uint32Array, data: Uint32Array) => number>('int capset(void *, const void *)');
const cSetgroups = libc<(count: number, groups: number) => number>('int setgroups(size_t, int64_t)');
const cSetrlimit = libc<(resource: number, limit: BigUint64Array) => number>('int setrlimit(int, const void *)');

/** Gives up all capabilities, also those that a program which is started could get. */
export function dropCapabilities(): void {
  for (let capability = 0; capability < MAX_CAPABILITIES; capability++) {
    if (cPrctl(PR_CAPBSET_DROP, capability, 0, 0, 0) === -1) break;
  }
  check(cPrctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), 'prctl(PR_CAP_AMBIENT)');
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
