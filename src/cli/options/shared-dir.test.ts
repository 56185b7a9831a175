import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedDirSyntax } from './shared-dir.ts';

const parse = (text: string) => sharedDirSyntax.parse(text);

test('a folder, its tag and how it is shared', () => {
  assert.deepEqual(parse('/:mtdfake:type=fs:cache=always'), { path: '/', tag: 'mtdfake', type: 'fs', cache: 'always' });
  assert.deepEqual(parse('/home/me:home:ro'), { path: '/home/me', tag: 'home', ro: true });
  const all =
    'p:t:type=fs:timeout=0.5:negative_timeout=2:writeback=true:posix_acl=false:rewrite-security-xattrs=true' +
    ':ascii_casefold=true:security_ctx=false:host_locks=false:dax=false:queues=4:uidmap=0 1000 1,1 100000 65536:gidmap=0 1000 1:keep_owners=true' +
    ':uid=1:gid=0:privileged_quota_uids=0 1000:max_dynamic_perm=5:max_dynamic_xattr=0';
  assert.deepEqual(parse(all), {
    path: 'p',
    tag: 't',
    type: 'fs',
    timeout: 0.5,
    negative_timeout: 2,
    writeback: true,
    posix_acl: false,
    'rewrite-security-xattrs': true,
    ascii_casefold: true,
    keep_owners: true,
    security_ctx: false,
    host_locks: false,
    dax: false,
    queues: 4,
    uidmap: [
      { inside: 0, outside: 1000, count: 1 },
      { inside: 1, outside: 100_000, count: 65536 },
    ],
    gidmap: [{ inside: 0, outside: 1000, count: 1 }],
    uid: 1,
    gid: 0,
    privileged_quota_uids: [0, 1000],
    max_dynamic_perm: 5,
    max_dynamic_xattr: 0,
  });
});

test('owners by path', () => {
  const { ugid_map: owners } = parse('p:t:ugid_map=1000 1001 5 6 0022 /; 2 3 4 5 7  /var//my files/:keep_owners=false');
  assert.deepEqual(parse(`p:t:ugid_map="1000 1001 5 6 022 /"`).ugid_map, owners!.slice(0, 1));
  assert.deepEqual(owners, [
    { path: [], shown: { uid: 1000, gid: 1001 }, host: { uid: 5, gid: 6 }, umask: 0o22 },
    { path: ['var', 'my files'], shown: { uid: 2, gid: 3 }, host: { uid: 4, gid: 5 }, umask: 7 },
  ]);
});

test('what is wrong is named', () => {
  const refuses = (text: string, message: RegExp) => assert.throws(() => parse(text), { code: 'E_OPTION', message });
  refuses('/home', /tag is missing/);
  refuses('/home:', /tag is missing/);
  refuses(':tag', /path is empty/);
  refuses('p:t:cach=auto', /unknown key "cach" \(did you mean cache\?\)/);
  refuses('p:t:cache', /cache needs a value: cache=never\|auto\|always/);
  refuses('p:t:cache=some', /cache: "some" is not one of/);
  refuses('p:t:ro:ro=true', /ro is given twice/);
  refuses('p:t:timeout=-1', /timeout: "-1" is no number of seconds/);
  refuses('p:t:timeout=1e400', /timeout/);
  refuses('p:t:uidmap=0 1000', /uidmap: "0 1000" is not a user of the guest/);
  refuses('p:t:uidmap=0 0 4294967296', /uidmap/);
  refuses('p:t:uidmap=10 10 4294967294', /no or too many users/);
  refuses('p:t:toString=1', /unknown key/);
  refuses('p:t:uid=1000:gidmap=1000 1000 1', /gid: 0 is not in gidmap/);
  refuses('p:t:uid=-1:gid=0', /uid: "-1" is not a whole number/);
  refuses('p:t:uid=root:gid=root', /uid: "root" is not a whole number/);
  refuses('p:t:uid=4294967295:gid=0', /uid: 4294967295 is not between/);
  refuses('p:t:uid=1:gid=1:uidmap=0 1000 1', /uid: 1 is not in uidmap/);
  refuses('p:t:gidmap=2 1000 4,9 1 1:uid=1:gid=6', /gid: 6 is not in gidmap/);
  refuses('p:t:privileged_quota_uids=', /privileged_quota_uids: "" is not a whole number/);
  refuses('p:t:privileged_quota_uids=1 me', /privileged_quota_uids: "me" is not/);
  refuses('p:t:max_dynamic_perm=many', /max_dynamic_perm: "many" is not/);
  refuses('p:t:max_dynamic_xattr=-1', /max_dynamic_xattr: "-1" is not/);
  refuses('p:t:security_ctx=on', /security_ctx: "on" is not one of/);
  refuses('p:t:rewrite-security-xattrs=1', /rewrite-security-xattrs: "1" is not one of/);
  refuses('p:t:ugid_map=', /ugid_map: "" is not two users with their groups, a umask and a path/);
  refuses('p:t:ugid_map=0 0 1000 1000 022', /ugid_map: "0 0 1000 1000 022" is not/);
  refuses('p:t:ugid_map=0 0 1000 1000 022 home', /ugid_map: .* a path that begins with \//);
  refuses('p:t:ugid_map=0 0 1000 1000 022 /;', /ugid_map: "" is not/);
  refuses('p:t:ugid_map=0 0 1000 1000 099 /', /ugid_map: "099" is no umask/);
  refuses('p:t:ugid_map=0 0 me 1000 022 /', /ugid_map: "me" is not a whole number/);
  refuses('p:t:ugid_map=0 0 1000 4294967295 022 /', /ugid_map: 4294967295 is not between/);
  refuses('p:t:ugid_map=0 0 1 1 022 /a/../b', /ugid_map: "\.\." is no name of a file/);
  refuses(`p:t:ugid_map=0 0 1 1 022 /${'x'.repeat(256)}`, /ugid_map: "x+" is no name of a file/);
  refuses('p:t:ugid_map=0 0 1 1 022 /a/;2 2 3 3 0 //a', /ugid_map: \/a is given twice/);
  const many = Array.from({ length: 256 }, (_, i) => `0 0 1 1 022 /${i}`).join(';');
  refuses(`p:t:ugid_map=${many}`, /ugid_map: more than 255 paths/);
  refuses('p:t:ugid_map=0 0 1 1 022 /:uidmap=0 1 1', /ugid_map does not go with uidmap/);
  refuses('p:t:gid=0:ugid_map=0 0 1 1 022 /', /ugid_map does not go with gid/);
  refuses('p:t:keep_owners=true:ugid_map=0 0 1 1 022 /', /ugid_map does not go with keep_owners/);
});
