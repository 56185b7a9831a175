/** Filters of system calls (seccomp(2)). */
import { rawIoctl } from './fd.ts';
import { addressOf, check, pin } from './ffi.ts';
import { prctl } from './prctl.ts';
import { systemCall } from './system-call.ts';

const SYS_SECCOMP = 317;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;
const SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16;
const SECCOMP_IOCTL_NOTIF_RECV = 0xc050_2100;
const PR_SET_NO_NEW_PRIVS = 38;
/** struct sock_filter. */
const INSTRUCTION_BYTES = 8;

/** From now on neither this process nor a program that it starts gets more rights than it has. Filters need that. */
export function setNoNewPrivileges(): void {
  prctl('PR_SET_NO_NEW_PRIVS', PR_SET_NO_NEW_PRIVS, 1);
}

/** Filters all threads of this process with a program of struct sock_filter, for ever. */
export function filterSystemCalls(program: Uint8Array): void {
  const result = install(program, SECCOMP_FILTER_FLAG_TSYNC);
  // A number that is not -1 is that of a thread which has filters that this one has not.
  check(result === 0 ? 0 : -1, 'seccomp');
}

/** The same; returns the descriptor at which calls that SECCOMP_RET_USER_NOTIF answers arrive. Needs Linux 5.7. */
export function filterWithListener(program: Uint8Array): number {
  const flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER;
  return check(install(program, flags), 'seccomp');
}

function install(program: Uint8Array, flags: number): number {
  // struct sock_fprog: u16 length, and behind padding the address of the instructions.
  const address = addressOf(program);
  const header = Uint32Array.of(program.length / INSTRUCTION_BYTES, 0, address, Math.floor(address / 2 ** 32));
  return systemCall(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, addressOf(header), 0, 0, 0);
}

/** struct seccomp_notif: u64 id, u32 pid, u32 flags; then struct seccomp_data: int nr and more. */
const notification = new Uint32Array(20);
const notificationAddress = pin(notification);
const NOTIFICATION_NR = 4;

/** The number of the system call that waits at a listener; undefined if it is gone again. */
export function waitingSystemCall(listener: number): number | undefined {
  notification.fill(0); // the kernel insists
  if (rawIoctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notificationAddress) === -1) return undefined;
  return notification[NOTIFICATION_NR];
}
