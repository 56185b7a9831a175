/**
 * Signals between threads, to kick a vCPU thread out of a blocking call. Node's own signal handling is not involved:
 * the signals stay blocked in every thread and are taken with `takeSignal`.
 */
import { constants } from 'node:os';
import { check, EAGAIN, EINTR, errno, libc, pin } from './ffi.ts';
import { SystemError } from './system-error.ts';

const SIG_BLOCK = 0;

/** glibc's sigset_t has 1024 bits, of which the kernel knows the first 64. */
const SIGSET_WORDS = 32;

const cSigrtmin = libc<() => number>('int __libc_current_sigrtmin()');
const cSigmask = libc<(how: number, set: Uint32Array | null, old: Uint32Array | null) => number>(
  'int pthread_sigmask(int, const void *, void *)',
);
const cSigtimedwait = libc<(set: number, info: number, timeout: number) => number>(
  'int sigtimedwait(int64_t, int64_t, int64_t)',
);
const cTgkill = libc<(pid: number, tid: number, signal: number) => number>('int tgkill(int, int, int)');

/** The kernel's id of the calling thread. */
export const gettid = libc<() => number>('int gettid()');

/** The first real-time signal that the C library leaves to programs. Kicks use SIGRTMIN + 6. */
export const SIGRTMIN: number = cSigrtmin();

/** A struct timespec of zero. */
const noWaitAddress = pin(new Uint32Array(4));
const waitSet = new Uint32Array(SIGSET_WORDS);
const waitSetAddress = pin(waitSet);

/**
 * Blocks a signal in the calling thread; threads that it starts inherit that. A real-time signal that is not blocked
 * kills the process, so block it in the main thread before workers start.
 */
export function blockSignal(signal: number): void {
  const set = new Uint32Array(SIGSET_WORDS);
  setBit(set, signal);
  const result = cSigmask(SIG_BLOCK, set, null);
  if (result !== 0) throw new SystemError('pthread_sigmask', result);
}

/** Takes one pending (blocked) signal of the calling thread without waiting; false when there is none. */
export function takeSignal(signal: number): boolean {
  waitSet.fill(0);
  setBit(waitSet, signal);
  for (;;) {
    if (cSigtimedwait(waitSetAddress, 0, noWaitAddress) !== -1) return true;
    const reason = errno();
    if (reason === EAGAIN) return false;
    if (reason !== EINTR) throw new SystemError('sigtimedwait', reason);
  }
}

/** Sends a signal to one thread of this process, by its `gettid`. */
export function signalThread(tid: number, signal: number): void {
  check(cTgkill(process.pid, tid, signal), 'tgkill', `thread ${tid}`);
}

/** The kernel's 64-bit signal set with all signals blocked now except `signal`, as KVM_SET_SIGNAL_MASK wants it. */
export function currentMaskWithout(signal: number): Uint32Array {
  const mask = new Uint32Array(SIGSET_WORDS);
  const result = cSigmask(SIG_BLOCK, null, mask);
  if (result !== 0) throw new SystemError('pthread_sigmask', result);
  mask[(signal - 1) >> 5]! &= ~(1 << ((signal - 1) & 31));
  return mask.slice(0, 2);
}

function setBit(set: Uint32Array, signal: number): void {
  set[(signal - 1) >> 5]! |= 1 << ((signal - 1) & 31);
}

/** The name of a signal, such as `SIGKILL`, or `signal N`. */
export function signalName(signal: number): string {
  const [name] = Object.entries(constants.signals).find(([, number]) => number === signal) ?? [`signal ${signal}`];
  return name;
}
