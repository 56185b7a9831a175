/** How a process that has loaded its code and has its files shuts itself in, for good. */
import { close } from '../base/fd.ts';
import { enterEmptyRoot, enterRoot, makeMountsPrivate, mapUser, unshare } from '../base/namespaces.ts';
import {
  dropCapabilities,
  RLIMIT_CORE,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  RLIMIT_NOFILE,
  RLIMIT_NPROC,
  setLimit,
} from '../base/privileges.ts';
import {
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  fork,
  SIGKILL,
  setDeathSignal,
} from '../base/process.ts';
import { filterSystemCalls, filterWithListener, setNoNewPrivileges } from '../base/seccomp.ts';
import { SystemError } from '../base/system-error.ts';
import type { StreamConnection } from '../base/unix-stream.ts';
import { CrosvmError } from '../errors.ts';
import type { JailSpec } from './jail-spec.ts';
import type { WayIn } from './jailed-device.ts';

/** The user inside, whoever it is outside: "nobody". */
const INSIDE_ID = 65534;
const NAMESPACES = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
const MAX_DESCRIPTORS = 1024;
const LIMITS = [
  [RLIMIT_NOFILE, MAX_DESCRIPTORS],
  // What is in memory stays there.
  [RLIMIT_CORE, 0],
  [RLIMIT_MEMLOCK, 0],
  [RLIMIT_MSGQUEUE, 0],
] as const;

export interface JailedFork {
  /** 0 in the new process. */
  readonly pid: number;
  /** Gives the new process its owner's rights on files; to be called there first of all. */
  settle(): void;
}

/**
 * Goes on as two processes, of which the new one is the first of a process namespace and has a user namespace. Throws
 * `E_JAIL` where the host does not allow that.
 */
export function forkForJail(): JailedFork {
  const [uid, gid] = [process.geteuid!(), process.getegid!()];
  const pid = explained(() => fork(CLONE_NEWPID | CLONE_NEWUSER));
  return { pid, settle: () => explained(() => mapUser(uid, gid, INSIDE_ID)) };
}

/** The way of a fork. */
export const enterJail: WayIn = (jail, folders, supervisor) => {
  explained(() => {
    unshare(NAMESPACES);
    changeRoot(jail.root, folders);
  });
  dropCapabilities();
  shutIn(jail, supervisor);
};

/** Puts the calling process's mount namespace over `root`, or an empty folder in memory. Throws `SystemError`. */
export function changeRoot(root: string | undefined, folders: readonly string[]): void {
  makeMountsPrivate();
  if (root === undefined) enterEmptyRoot(folders);
  else enterRoot(root, folders);
}

/**
 * What every process does itself, with all its threads. A system call that the filter refuses ends the process: who is at
 * the other end of `supervisor` gets the filter's listener and does that, or the kernel where there is no listener.
 */
export function shutIn({ filters, threads }: JailSpec, supervisor: StreamConnection): void {
  for (const [resource, value] of LIMITS) setLimit(resource, value);
  setLimit(RLIMIT_NPROC, threads);
  // After the credentials have changed for the last time, as that forgets it.
  setDeathSignal(SIGKILL);
  setNoNewPrivileges();
  filter(filters, supervisor);
}

function filter({ notify, kill }: JailSpec['filters'], supervisor: StreamConnection): void {
  const listener = notify === undefined ? undefined : tryListener(notify);
  if (listener === undefined) {
    supervisor.close();
    filterSystemCalls(Buffer.from(kill, 'base64'));
    return;
  }
  supervisor.send(Uint8Array.of(0), [listener]);
  close(listener);
  supervisor.close();
}

/** Undefined where the kernel has no listeners, or a container's manager has the only one that there can be. */
function tryListener(program: string): number | undefined {
  try {
    return filterWithListener(Buffer.from(program, 'base64'));
  } catch (error) {
    if (error instanceof SystemError && (error.errno === 'EINVAL' || error.errno === 'EBUSY')) return undefined;
    throw error;
  }
}

/** What `shutIn` has sent to the supervisor: the listener, if there is one. */
export function receiveListener(supervisor: StreamConnection): number | undefined {
  const fds: number[] = [];
  const n = supervisor.receive(new Uint8Array(1), 0, 1, fds);
  const [listener, ...others] = fds;
  for (const fd of others) close(fd);
  return n > 0 ? listener : undefined;
}

/** Runs what needs the rights of a user namespace, and says what to do where there are none. */
export function explained<T>(act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (!(cause instanceof SystemError) || !['EPERM', 'EACCES', 'ENOSPC', 'EUSERS'].includes(cause.errno)) throw cause;
    throw new CrosvmError('E_JAIL', jailRefused(cause.message), { cause });
  }
}

/** What a user can do about a host that refuses to make a jail. */
export function jailRefused(reason: string): string {
  return (
    `this host does not allow the sandbox (${reason}): allow user namespaces ` +
    '(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; ' +
    'in a container, its seccomp profile), run as root, or use --disable-sandbox'
  );
}
