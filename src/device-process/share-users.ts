/** Who a device process that shares a folder is in its user namespace, and who others are. */
import type { Ids } from '../base/namespaces.ts';
import type { IdRange } from '../base/user-maps.ts';
import { CrosvmError } from '../errors.ts';

/** As the user says it. */
export interface ShareUsers {
  /** Whose files users of the guest make; without them, the same users if this process may be them, else only its own. */
  readonly users?: readonly IdRange[] | undefined;
  readonly groups?: readonly IdRange[] | undefined;
  /** As whom all is done, with no other rights; without it, as each of the guest's users. By its numbers inside. */
  readonly user?: Ids | undefined;
}

/**
 * What a process that is `owner`, and may be nobody else, is called in its namespace: root, if nobody says otherwise. Throws
 * `E_JAIL` if others are to be there.
 */
export function onlyUser({ users, groups, user = { uid: 0, gid: 0 } }: ShareUsers, owner: Ids): Ids {
  return {
    uid: onlyId('uidmap', users, owner.uid, user.uid),
    gid: onlyId('gidmap', groups, owner.gid, user.gid),
  };
}

function onlyId(key: string, map: readonly IdRange[] | undefined, own: number, inside: number): number {
  if (map === undefined) return inside;
  const [range, ...others] = map;
  if (range?.outside === own && range.count === 1 && others.length === 0) return range.inside;
  throw new CrosvmError('E_JAIL', `${key}: only root can be others than himself; for you it is ${key}=N ${own} 1`);
}
