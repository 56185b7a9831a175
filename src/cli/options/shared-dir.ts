import type { IdRange } from '../../base/user-maps.ts';
import { CrosvmError } from '../../errors.ts';
import { suggestion } from '../nearest.ts';
import { choice, integer, path, text, type ValueSyntax } from './syntax.ts';
import { idMap, MAX_ID, pathOwners, userId, userList } from './users.ts';

/** One of the `key=value` that follow a tag. */
interface Key<T> {
  readonly syntax: ValueSyntax<T>;
  /** Other ways to write it. */
  readonly aliases?: readonly string[];
  readonly help: string;
}

const trueOrFalse: ValueSyntax<boolean> = {
  metavar: 'true|false',
  parse: (value) => choice('true', 'false').parse(value) === 'true',
};

const MAX_SECONDS = 2 ** 31;

/** A whole number of seconds, or a fraction. */
const seconds: ValueSyntax<number> = {
  metavar: 'SECONDS',
  parse(value) {
    const n = Number(value);
    if (!/^\d+(\.\d+)?$/.test(value) || n > MAX_SECONDS) fail(`"${value}" is no number of seconds`);
    return n;
  },
};

/** crosvm's own is 8 GiB; shared memory of a device ends at 1 TiB. */
const MAX_WINDOW_MIB = 1 << 20;

const keys = {
  type: {
    syntax: choice('p9', 'fs'),
    help: 'How it is shared: by virtio-fs, or by 9P [default: p9].',
  },
  cache: {
    syntax: choice('never', 'auto', 'always'),
    help: 'What the guest may remember: nothing, names and attributes for a while, or all [default: auto].',
  },
  timeout: {
    syntax: seconds,
    help: 'For how long it remembers names and attributes [default: 1; with cache=always, 86400].',
  },
  negative_timeout: {
    syntax: seconds,
    aliases: ['negative-timeout'],
    help: 'For how long it remembers that there is no file of some name [default: 0].',
  },
  writeback: { syntax: trueOrFalse, help: 'The guest writes later what it has written [default: false].' },
  ro: { syntax: trueOrFalse, help: 'The guest may only read; ":ro" is enough [default: false].' },
  new_mounts: {
    syntax: trueOrFalse,
    aliases: ['new-mounts'],
    help: 'What the host mounts in the folder while the VM runs is there, too [default: false].',
  },
  uidmap: { syntax: idMap, help: 'Users: of the guest, of the host, how many.' },
  gidmap: { syntax: idMap, help: 'The same for groups.' },
  uid: {
    syntax: userId,
    help: 'All is done as this user, by the numbers of uidmap, with no other rights [default: as each user of the guest; with gid, 0].',
  },
  gid: { syntax: userId, help: 'The group of that user, by the numbers of gidmap [default: 0].' },
  keep_owners: {
    syntax: trueOrFalse,
    aliases: ['keep-owners'],
    help: 'All files stay those of the user who runs the VM; whose the guest takes them for is kept in extended attributes [default: false].',
  },
  posix_acl: { syntax: trueOrFalse, aliases: ['posix-acl'], help: 'Access control lists [default: true].' },
  'rewrite-security-xattrs': {
    syntax: trueOrFalse,
    aliases: ['rewrite_security_xattrs'],
    help: 'Keep "security." attributes of the guest as "user.virtiofs.security." ones [default: false].',
  },
  ascii_casefold: {
    syntax: trueOrFalse,
    aliases: ['ascii-casefold'],
    help: 'Find names in whatever case their ASCII letters are [default: false].',
  },
  security_ctx: {
    syntax: trueOrFalse,
    aliases: ['security-ctx'],
    help: 'New files get the security label that the guest gives them [default: true].',
  },
  host_locks: {
    syntax: trueOrFalse,
    aliases: ['host-locks'],
    help: 'Locks count for other guests and programs of the host; false: only in the guest, where who waits can be interrupted [default: true].',
  },
  dax: {
    syntax: trueOrFalse,
    help: "A guest that mounts it with -o dax reads and writes the host's page cache as memory [default: false].",
  },
  dax_window: {
    syntax: integer({ min: 2, max: MAX_WINDOW_MIB, metavar: 'MIB' }),
    aliases: ['dax-window'],
    help: 'How much of files is memory of the guest at a time, with dax=true [default: 256].',
  },
  privileged_quota_uids: {
    syntax: userList,
    help: "On ChromeOS, users who may set quotas on files of others; without effect here, as the guest's kernel says who may.",
  },
  max_dynamic_perm: {
    syntax: integer({ min: 0, max: MAX_ID }),
    help: "On ChromeOS, for how many paths Android may set owners by an ioctl that only ChromeOS's guests have; without effect here.",
  },
  max_dynamic_xattr: {
    syntax: integer({ min: 0, max: MAX_ID }),
    help: 'The same for extended attributes; without effect here.',
  },
  ugid_map: {
    syntax: pathOwners,
    aliases: ['ugid-map'],
    help: 'Whose files at a path of the folder are: the first user and group as the guest sees them, the second ones on the host if the guest makes them, without the permissions in the umask. Goes with no other key about users.',
  },
  queues: { syntax: integer({ min: 1, max: 16 }), help: 'Queues for requests [default: 1].' },
} as const satisfies Readonly<Record<string, Key<unknown>>>;

type Keys = typeof keys;

/** A folder that is shared with the guest; what is not given is undefined. */
export type SharedDirOption = { readonly path: string; readonly tag: string } & {
  readonly [K in keyof Keys]?: ReturnType<Keys[K]['syntax']['parse']> | undefined;
};

/** `PATH:TAG[:key=value...]`, as the original has it. */
export const sharedDirSyntax: ValueSyntax<SharedDirOption> = {
  metavar: 'PATH:TAG[:KEY=VALUE...]',
  keys: Object.entries(keys).map(([name, { syntax, help }]) => ({ usage: `:${name}=${syntax.metavar}`, help })),
  parse(value) {
    const [folder = '', tag, ...rest] = value.split(':');
    if (tag === undefined || tag === '') fail('a tag is missing: PATH:TAG');
    const given: Record<string, unknown> = {};
    for (const word of rest) {
      const [name, parsed] = parseWord(word);
      if (name in given) fail(`${name} is given twice`);
      given[name] = parsed;
    }
    const option: SharedDirOption = { path: path().parse(folder), tag: text('TAG').parse(tag), ...given };
    checkUsers(option);
    return option;
  },
};

const USER_KEYS = ['uidmap', 'gidmap', 'uid', 'gid', 'keep_owners'] as const;

function checkUsers(option: SharedDirOption): void {
  const { uid, gid, uidmap, gidmap } = option;
  const other = USER_KEYS.find((key) => option[key] !== undefined && option[key] !== false);
  if (option.ugid_map !== undefined && other !== undefined) fail(`ugid_map does not go with ${other}`);
  if ((uid ?? gid) === undefined) return;
  checkUser('uid', uid ?? 0, uidmap);
  checkUser('gid', gid ?? 0, gidmap);
}

function checkUser(key: string, id: number, map: readonly IdRange[] | undefined): void {
  if (map === undefined) return;
  if (!map.some(({ inside, count }) => id >= inside && id - inside < count)) fail(`${key}: ${id} is not in ${key}map`);
}

function parseWord(word: string): [string, unknown] {
  if (word === 'ro') return ['ro', true];
  const [, written = word, value] = /^([^=]*)=(.*)$/s.exec(word) ?? [];
  const entries = Object.entries(keys) as [string, Key<unknown>][];
  const found = entries.find(([name, { aliases = [] }]) => name === written || aliases.includes(written));
  if (found === undefined) return fail(`unknown key "${written}"${suggestion(written, Object.keys(keys))}`);
  const [name, { syntax }] = found;
  if (value === undefined) return fail(`${name} needs a value: ${name}=${syntax.metavar}`);
  try {
    return [name, syntax.parse(unquoted(value))];
  } catch (error) {
    return fail(`${name}: ${(error as Error).message}`);
  }
}

/** Quotes of the shell's kind, which some people need around values with spaces, may stand around any. */
function unquoted(value: string): string {
  return /^(["']).*\1$/s.test(value) && value.length > 1 ? value.slice(1, -1) : value;
}

function fail(message: string): never {
  throw new CrosvmError('E_OPTION', message);
}
