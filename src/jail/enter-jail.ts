/** How a process that has loaded its code and has its files shuts itself in, for good. */
import { close } from '../base/fd.ts';
import { becomeUser } from '../base/file-credentials.ts';
import { enterEmptyRoot, enterRoot, followMounts, makeMountsPrivate, unshare } from '../base/namespaces.ts';
import {
  dropCapabilities,
  FILE_CAPABILITIES,
  leaveGroups,
  lowerLimit,
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
import { descriptorsOf, enterSharedRoot, workIn } from '../base/shared-root.ts';
import { SystemError } from '../base/system-error.ts';
import type { StreamConnection } from '../base/unix-stream.ts';
import { type Ids, mapOwnUser, unshareWithUsers } from '../base/user-maps.ts';
import type { PreparedDevice, RootOfShare, SharedFolder } from '../device-process/made-device.ts';
import { mapsOf, ownUser } from '../device-process/share-users.ts';
import { CrosvmError } from '../errors.ts';
import type { JailSpec } from './jail-spec.ts';

/** The user inside, whoever it is outside: "nobody". */
const NOBODY: Ids = { uid: 65534, gid: 65534 };
const NAMESPACES = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
const MAX_DESCRIPTORS = 1024;
const MAX_SHARED_FILES = 65536;
const LIMITS = [
  // What is in memory stays there.
  [RLIMIT_CORE, 0],
  [RLIMIT_MEMLOCK, 0],
  [RLIMIT_MSGQUEUE, 0],
] as const;

export interface JailedFork {
  /** 0 in the new process. */
  readonly pid: number;
  /** Whose the new process is, if it is in a user namespace already: to be told to `settle`. */
  readonly newcomer: Ids | undefined;
}

/**
 * Goes on as two processes, of which the new one is the first of a process namespace. Who may make one, keeps its rights
 * in the new process until it enters its jail, so that it can share what others own; others get a user namespace with it.
 * Throws `E_JAIL` where the host allows neither.
 */
export function forkForJail(): JailedFork {
  try {
    return { pid: fork(CLONE_NEWPID), newcomer: undefined };
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== 'EPERM') throw error;
  }
  const newcomer = currentOwner();
  return { pid: explained(() => fork(CLONE_NEWPID | CLONE_NEWUSER)), newcomer };
}

/** Gives a process in a new user namespace its owner's rights on files. `inside` is what it is called there. */
export function settle(owner: Ids, inside: Ids = NOBODY): void {
  explained(() => mapOwnUser('/proc/self', owner, inside));
}

function currentOwner(): Ids {
  return { uid: process.geteuid!(), gid: process.getegid!() };
}

/**
 * The way of a fork: enters the jail, in which the device's `folders` of the host remain, or all that there is is the folder
 * that it shares. Throws `E_JAIL` where the host forbids something, `SystemError`.
 */
export function enterJail(
  jail: JailSpec,
  { folders = [], share }: PreparedDevice,
  isSettled: boolean,
  supervisor: StreamConnection,
): void {
  const owner = currentOwner();
  leaveGroups();
  explained(() => {
    if (isSettled) unshare(NAMESPACES);
    else if (share !== undefined) unshareWithUsers(NAMESPACES | CLONE_NEWUSER, ...mapsOf(share));
    else unshare(NAMESPACES | CLONE_NEWUSER);
  });
  if (!isSettled && share === undefined) settle(owner);
  explained(() => {
    if (share === undefined) changeRoot(jail.root, folders);
    else workIn(shareRoot(share, 'self'));
  });
  share?.becameRoot();
  if (share !== undefined) becomeUser(ownUser(share));
  dropCapabilities(capabilitiesFor(share));
  shutIn(jail, maxFiles(share), supervisor);
}

/** Each file that a guest opens on a shared folder takes a descriptor. */
function maxFiles(share: SharedFolder | undefined): number {
  return share === undefined ? MAX_DESCRIPTORS : MAX_SHARED_FILES;
}

/** Who acts for all users of the guest has rights on the files of all. */
function capabilitiesFor(share: SharedFolder | undefined): readonly number[] {
  return share === undefined || share.user !== undefined ? [] : FILE_CAPABILITIES;
}

/** Makes `root`, or an empty folder in memory, the root in the calling process's mount namespace. Throws `SystemError`. */
export function changeRoot(root: string | undefined, folders: readonly string[]): void {
  makeMountsPrivate();
  if (root === undefined) enterEmptyRoot(folders);
  else enterRoot(root, folders);
}

/**
 * Makes a shared folder the root in the calling process's mount namespace. Returns an open folder that lists the descriptors
 * of a process in it, which that one is to work in. Throws `SystemError`.
 */
export function shareRoot({ path, readOnly, followsMounts }: RootOfShare, process: number | 'self'): number {
  const descriptors = descriptorsOf(process);
  if (followsMounts) followMounts();
  else makeMountsPrivate();
  enterSharedRoot(path, readOnly);
  return descriptors;
}

/**
 * The way of a process that is in its namespaces and at its root, with the capabilities that it is to have: what it has to do
 * itself. `descriptors` is what `shareRoot` has returned.
 */
export function enterJailAtRoot(
  jail: JailSpec,
  share: SharedFolder | undefined,
  descriptors: number | undefined,
  supervisor: StreamConnection,
): void {
  // The working folder is still one of the host.
  if (descriptors === undefined) process.chdir('/');
  else workIn(descriptors);
  share?.becameRoot();
  shutIn(jail, maxFiles(share), supervisor);
}

/**
 * Limits and filters all threads. A system call that the filter refuses ends the process: who is at the other end of
 * `supervisor` gets the filter's listener and does that, or the kernel where there is no listener.
 */
function shutIn({ filters, threads }: JailSpec, maxFiles: number, supervisor: StreamConnection): void {
  lowerLimit(RLIMIT_NOFILE, maxFiles);
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
