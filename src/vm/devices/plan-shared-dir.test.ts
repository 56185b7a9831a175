import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedDirSyntax } from '../../cli/options/shared-dir.ts';
import { sharedFolderSpec } from './plan-shared-dir.ts';

const spec = (text: string) => sharedFolderSpec(sharedDirSyntax.parse(text));

test('a folder is shared by 9P if nobody says otherwise', () => {
  const options = { asciiCasefold: false, readOnly: false };
  const folder = { path: '/home', tag: 'home', users: undefined, groups: undefined, keepOwners: false };
  assert.deepEqual(spec('/home:home'), { type: '9p', ...folder, options });
  assert.deepEqual(spec('/home:home:type=p9:ro:ascii_casefold=true:cache=always').options, {
    asciiCasefold: true,
    readOnly: true,
  });
  assert.equal(spec('/home:home:type=fs').type, 'fs');
});
