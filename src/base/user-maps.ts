/** Who the users of a new user namespace are (user_namespaces(7)). The calling process must have one thread. */
import { readlinkSync, writeFileSync } from 'node:fs';
import { EventFd } from './event-fd.ts';
import { unshare } from './namespaces.ts';
import { exitNow, fork, waitForEnd } from './process.ts';
import { waitReadable } from './readable.ts';
import { SystemError } from './system-error.ts';

/** Users or groups: those of the namespace from `inside` on are those around it from `outside` on, `count` of them. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

const EPERM = 1;

/**
 * Moves to new namespaces, a user namespace among `flags`, whose users and groups are those of the maps. That takes the right
 * to be them all. Throws `SystemError`.
 */
export function unshareWithUsers(flags: number, users: readonly IdRange[], groups: readonly IdRange[]): void {
  const self = `/proc/${readlinkSync('/proc/self')}`;
  const isUnshared = EventFd.create();
  // Only a process that is not in the new namespace may say who is.
  const helper = fork();
  if (helper === 0) exitNow(writeMaps(self, users, groups, isUnshared));
  try {
    unshare(flags);
  } finally {
    isUnshared.signal();
    const end = waitForEnd(helper);
    isUnshared.close();
    if (!('exitStatus' in end && end.exitStatus === 0)) throwNoMap();
  }
}

function throwNoMap(): never {
  throw new SystemError('write', EPERM, 'the map of users');
}

function writeMaps(
  process: string,
  users: readonly IdRange[],
  groups: readonly IdRange[],
  isUnshared: EventFd,
): number {
  const lines = (ranges: readonly IdRange[]) =>
    ranges.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('');
  try {
    waitReadable(isUnshared.fd, -1);
    writeFileSync(`${process}/uid_map`, lines(users));
    writeFileSync(`${process}/gid_map`, lines(groups));
    return 0;
  } catch {
    return 1;
  }
}
