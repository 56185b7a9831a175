/** Who a device process that shares a folder is in its user namespace, and who others are. */
import type { IdRange, Ids } from '../base/user-maps.ts';
import { CrosvmError } from '../errors.ts';
import type { PathOwner } from '../host-folder/linux/path-owners.ts';

/** As the user says it. */
export interface ShareUsers {
  /** Whose files users of the guest make; without them, the same users if this process may be them, else only its own. */
  readonly users?: readonly IdRange[] | undefined;
  readonly groups?: readonly IdRange[] | undefined;
  /** As whom all is done, with no other rights; without it, as each of the guest's users. By its numbers inside. */
  readonly user?: Ids | undefined;
  /** Whose files are by their paths; by the host's numbers, also inside. */
  readonly owners?: readonly PathOwner[] | undefined;
}

const ALL = [{ inside: 0, outside: 0, count: 2 ** 32 - 1 }];

/** Users and groups of its namespace: those of the host with the same numbers, if nobody says otherwise. */
export function mapsOf({ users = ALL, groups = ALL }: ShareUsers): readonly [readonly IdRange[], readonly IdRange[]] {
  return [users, groups];
}

/** Who the process itself is inside: root, if nobody says otherwise and there is one. */
export function ownUser({ users, groups, user }: ShareUsers): Ids {
  return user ?? { uid: firstId(users), gid: firstId(groups) };
}

function firstId(map: readonly IdRange[] | undefined): number {
  return map === undefined ? 0 : Math.min(...map.map(({ inside }) => inside));
}

/** The same of a process that is `owner` and may be nobody else. Throws `E_JAIL` if others are to be there. */
export function onlyUser(share: ShareUsers, owner: Ids): Ids {
  mustBeOnly('uidmap', share.users, owner.uid);
  mustBeOnly('gidmap', share.groups, owner.gid);
  mustMakeOwn(share.owners, owner);
  return ownUser(share);
}

/** Throws `E_JAIL` if files are to be made in other names than that of `owner`. */
export function mustMakeOwn(owners: readonly PathOwner[] | undefined, { uid, gid }: Ids): void {
  if (owners === undefined || owners.every(({ host }) => host.uid === uid && host.gid === gid)) return;
  throw new CrosvmError('E_JAIL', `ugid_map: only root makes files of others; yours are those of ${uid} ${gid}`);
}

function mustBeOnly(key: string, map: readonly IdRange[] | undefined, own: number): void {
  if (map === undefined || (map.length === 1 && map[0]!.outside === own && map[0]!.count === 1)) return;
  throw new CrosvmError('E_JAIL', `${key}: only root can be others than himself; for you it is ${key}=N ${own} 1`);
}
