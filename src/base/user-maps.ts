/** Who the users of a new user namespace are (user_namespaces(7)). */
import { readlinkSync } from 'node:fs';
import { EventFd } from './event-fd.ts';
import { close, O_WRONLY, open, write } from './fd.ts';
import { unshare } from './namespaces.ts';
import { exitNow, fork, waitForEnd } from './process.ts';
import { waitReadable } from './readable.ts';
import { SystemError } from './system-error.ts';

/** A user and his group. */
export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** Users or groups: those of the namespace from `inside` on are those around it from `outside` on, `count` of them. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

const EPERM = 1;

/**
 * Says who the users of a process's namespace are, which has none yet. `process` is its folder in /proc. That takes the right
 * to be them all. Throws `SystemError`.
 */
export function mapUsers(process: string, users: readonly IdRange[], groups: readonly IdRange[]): void {
  // One's own user can be mapped without the right, so what fails without it comes first.
  writeWhole(`${process}/gid_map`, linesOf(groups));
  writeWhole(`${process}/uid_map`, linesOf(users));
}

/** The same without that right: there is only the caller's own user, who is called `inside`. Throws `SystemError`. */
export function mapOwnUser(process: string, { uid, gid }: Ids, inside: Ids): void {
  writeWhole(`${process}/setgroups`, 'deny');
  const only = (id: number, outside: number) => [{ inside: id, outside, count: 1 }];
  mapUsers(process, only(inside.uid, uid), only(inside.gid, gid));
}

/**
 * Moves the calling process, which must have one thread, to new namespaces, a user namespace among `flags`, whose users and
 * groups are those of the maps. That takes the right to be them all. Throws `SystemError`.
 */
export function unshareWithUsers(flags: number, users: readonly IdRange[], groups: readonly IdRange[]): void {
  const self = `/proc/${readlinkSync('/proc/self')}`;
  const isUnshared = EventFd.create();
  // Only a process that is not in the new namespace may say who is.
  const helper = fork();
  if (helper === 0) exitNow(helpToMap(self, users, groups, isUnshared));
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

function helpToMap(
  process: string,
  users: readonly IdRange[],
  groups: readonly IdRange[],
  isUnshared: EventFd,
): number {
  try {
    waitReadable(isUnshared.fd, -1);
    mapUsers(process, users, groups);
    return 0;
  } catch {
    return 1;
  }
}

function linesOf(ranges: readonly IdRange[]): string {
  return ranges.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('');
}

function writeWhole(path: string, text: string): void {
  const fd = open(path, O_WRONLY);
  try {
    write(fd, new TextEncoder().encode(text));
  } finally {
    close(fd);
  }
}
