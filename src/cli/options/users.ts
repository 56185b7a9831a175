/** Users and groups in values of options. */
import type { IdRange } from '../../base/user-maps.ts';
import { CrosvmError } from '../../errors.ts';
import { MAX_PATH_OWNERS, type PathOwner } from '../../host-folder/linux/path-owners.ts';
import { checkName, Name } from '../../host-folder/name.ts';
import { integer, text, type ValueSyntax } from './syntax.ts';

export const MAX_ID = 2 ** 32 - 2;

export const userId = integer({ min: 0, max: MAX_ID });

/** `0 1000 1,1 100000 65536`: users of the guest, of the host, how many. */
export const idMap: ValueSyntax<readonly IdRange[]> = {
  metavar: 'GUEST HOST COUNT[,...]',
  parse: (value) =>
    value.split(',').map((range) => {
      const numbers = range.trim().split(/\s+/);
      if (numbers.length !== 3) fail(`"${range}" is not a user of the guest, one of the host and how many`);
      const [inside, outside, count] = numbers.map(userId.parse);
      if (count === 0 || Math.max(inside!, outside!) + count! - 1 > MAX_ID) fail(`"${range}" has no or too many users`);
      return { inside: inside!, outside: outside!, count: count! };
    }),
};

/** Users by their numbers, with spaces between them. */
export const userList: ValueSyntax<readonly number[]> = {
  metavar: '"UID UID..."',
  parse: (value) => value.trim().split(/\s+/).map(userId.parse),
};

/** `1000 1000 100000 100000 022 /work;...`: user and group in the guest, on the host, a umask, a path from the folder on. */
export const pathOwners: ValueSyntax<readonly PathOwner[]> = {
  metavar: 'UID GID UID GID UMASK PATH[;...]',
  parse(value) {
    const owners = value.split(';').map((one) => pathOwner(one.trim()));
    if (owners.length > MAX_PATH_OWNERS) fail(`more than ${MAX_PATH_OWNERS} paths`);
    const paths = owners.map(({ path }) => `/${path.join('/')}`);
    const twice = paths.find((path, i) => paths.indexOf(path) !== i);
    if (twice !== undefined) fail(`${twice} is given twice`);
    return owners;
  },
};

function pathOwner(words: string): PathOwner {
  const [, ids, umask, path] = /^((?:\S+\s+){4})(\S+)\s+(\/.*)$/s.exec(words) ?? [];
  if (ids === undefined) fail(`"${words}" is not two users with their groups, a umask and a path that begins with /`);
  if (!/^0?[0-7]{1,3}$/.test(umask!)) fail(`"${umask}" is no umask: three octal digits`);
  const [guestUid, guestGid, uid, gid] = ids!.trim().split(/\s+/).map(userId.parse);
  return {
    path: components(text('PATH').parse(path!)),
    shown: { uid: guestUid!, gid: guestGid! },
    host: { uid: uid!, gid: gid! },
    umask: Number.parseInt(umask!, 8),
  };
}

function components(path: string): readonly string[] {
  const names = path.split('/').filter((name) => name !== '');
  const wrong = names.find((name) => checkName(Name.of(name)) !== 0);
  if (wrong !== undefined) fail(`"${wrong}" is no name of a file`);
  return names;
}

function fail(message: string): never {
  throw new CrosvmError('E_OPTION', message);
}
