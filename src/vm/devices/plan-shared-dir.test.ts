import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedDirSyntax } from '../../cli/options/shared-dir.ts';
import { sharedFolderSpec } from './plan-shared-dir.ts';

const spec = (text: string) => sharedFolderSpec(sharedDirSyntax.parse(text));

test('a folder is shared by 9P if nobody says otherwise', () => {
  const options = { asciiCasefold: false, readOnly: false };
  const folder = {
    path: '/home',
    tag: 'home',
    users: undefined,
    groups: undefined,
    user: undefined,
    keepOwners: false,
    owners: undefined,
    rewriteSecurity: false,
    followsMounts: false,
  };
  assert.deepEqual(spec('/home:home'), { type: '9p', ...folder, options });
  assert.deepEqual(spec('/home:home:type=p9:ro:ascii_casefold=true:cache=always').options, {
    asciiCasefold: true,
    readOnly: true,
  });
  assert.equal(spec('/home:home:type=fs').type, 'fs');
});

test('what is about the files of the host is the same for both protocols', () => {
  for (const type of ['fs', 'p9']) {
    const { user, users, keepOwners, rewriteSecurity } = spec(
      `/home:home:type=${type}:uid=5:gid=0:uidmap=5 1000 1:keep_owners=true:rewrite-security-xattrs=true`,
    );
    assert.deepEqual(
      { user, users, keepOwners, rewriteSecurity },
      {
        user: { uid: 5, gid: 0 },
        users: [{ inside: 5, outside: 1000, count: 1 }],
        keepOwners: true,
        rewriteSecurity: true,
      },
      type,
    );
  }
});
