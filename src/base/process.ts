/** Processes as the kernel sees them, for programs that fork: Node's own `child_process` always starts another program. */
import { readdirSync, readlinkSync } from 'node:fs';
import { check, EINTR, errno, libc, pin } from './ffi.ts';
import { prctl } from './prctl.ts';
import { systemCall } from './system-call.ts';
import { SystemError } from './system-error.ts';

export const CLONE_NEWNS = 0x0002_0000;
export const CLONE_NEWUTS = 0x0400_0000;
export const CLONE_NEWIPC = 0x0800_0000;
export const CLONE_NEWUSER = 0x1000_0000;
export const CLONE_NEWPID = 0x2000_0000;
export const CLONE_NEWNET = 0x4000_0000;

export const SIGKILL = 9;
const SIGCHLD = 17;

const SYS_CLONE = 56;
const SYS_PIDFD_OPEN = 434;
const SYS_CLOSE_RANGE = 436;
const LAST_FD = 0xffff_ffff;

const F_DUPFD = 0;

const PR_SET_PDEATHSIG = 1;
const PR_SET_NAME = 15;

const P_PID = 1;
const WEXITED = 4;
const CLD_EXITED = 1;
/** struct siginfo: signo, errno, code; from byte 16 pid, uid, status. */
const SIGINFO_WORDS = 32;
const SIGINFO_CODE = 2;
const SIGINFO_STATUS = 6;

const cExit = libc<(status: number) => never>('void _exit(int)');
const cKill = libc<(pid: number, signal: number) => number>('int kill(int, int)');
const cDup2 = libc<(from: number, to: number) => number>('int dup2(int, int)');
const cFcntl = libc<(fd: number, command: number, argument: number) => number>('int fcntl(int, int, int64_t)');
const cWaitid = libc<(kind: number, id: number, info: number, options: number) => number>(
  'int waitid(int, int, int64_t, int)',
);

const info = new Int32Array(SIGINFO_WORDS);
const infoAddress = pin(info);

/**
 * Goes on as two processes: 0 in the new one, its number in the old one. `flags` are CLONE_NEW ones: namespaces for the
 * new process. It has only the calling thread, so whatever needs others must not be used in it: Node's event loop, workers,
 * `process.exit`.
 */
export function fork(flags = 0): number {
  return check(systemCall(SYS_CLONE, flags | SIGCHLD, 0, 0, 0, 0, 0), 'clone');
}

/** Ends the process now; nothing of Node's end happens. */
export function exitNow(status: number): never {
  return cExit(status);
}

/** Sends a signal. No error if the process is gone. */
export function signalProcess(pid: number, signal: number): void {
  cKill(pid, signal);
}

/** A descriptor that becomes readable when the process ends. */
export function openPidfd(pid: number): number {
  return check(systemCall(SYS_PIDFD_OPEN, pid, 0, 0, 0, 0, 0), 'pidfd_open');
}

export type ProcessEnd = { readonly exitStatus: number } | { readonly signal: number };

/** Waits for a child to end. */
export function waitForEnd(pid: number): ProcessEnd {
  while (cWaitid(P_PID, pid, infoAddress, WEXITED) === -1) {
    const reason = errno();
    if (reason !== EINTR) throw new SystemError('waitid', reason);
  }
  const status = info[SIGINFO_STATUS]!;
  return info[SIGINFO_CODE] === CLD_EXITED ? { exitStatus: status } : { signal: status };
}

/** The calling process gets this signal when the thread that made it ends. A change of its credentials undoes that. */
export function setDeathSignal(signal: number): void {
  prctl('PR_SET_PDEATHSIG', PR_SET_PDEATHSIG, signal);
}

/** What `ps` and `top` call the calling thread: the first 15 bytes count. */
export function setThreadName(name: string): void {
  const bytes = new TextEncoder().encode(`${name}\0`);
  prctl('PR_SET_NAME', PR_SET_NAME, pin(bytes));
}

/**
 * The descriptors by which V8 and Node wake an event loop of this process: eventfds, if no others are open yet. Also where
 * no loop runs any more, what happens in V8 (garbage collection, compilation) makes them write there.
 */
export function wakeDescriptors(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => descriptorLink(fd) === 'anon_inode:[eventfd]');
}

function descriptorLink(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined; // that of the folder which is being read
  }
}

/**
 * Gives `fds` the lowest numbers from 0 on, in their order, and closes all others. Numbers in `taken`, as `wakeDescriptors`
 * returns them, lead to what `fds[0]` is, and none of `fds` gets one: so that what is written there harms nothing. Returns
 * the new numbers.
 */
export function keepDescriptors(fds: readonly number[], taken: readonly number[]): number[] {
  // Out of the way first: one may have a number that another is to get.
  const above = Math.max(fds.length + taken.length, ...fds, ...taken) + 1;
  const copies = fds.map((fd) => check(cFcntl(fd, F_DUPFD, above), 'dup'));
  const numbers = Array.from({ length: fds.length + taken.length }, (_, i) => i).filter((i) => !taken.includes(i));
  const kept = numbers.slice(0, fds.length);
  for (const [i, fd] of copies.entries()) check(cDup2(fd, kept[i]!), 'dup2');
  for (const number of taken) check(cDup2(copies[0]!, number), 'dup2');
  let first = 0;
  for (const number of [...kept, ...taken].sort((a, b) => a - b)) {
    if (number > first) closeRange(first, number - 1);
    first = number + 1;
  }
  closeRange(first, LAST_FD);
  return kept;
}

function closeRange(first: number, last: number): void {
  check(systemCall(SYS_CLOSE_RANGE, first, last, 0, 0, 0, 0), 'close_range');
}
