import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheFolder } from './cache-folder.ts';

test('follows XDG_CACHE_HOME when it is absolute', () => {
  assert.equal(cacheFolder({ XDG_CACHE_HOME: '/x' }), '/x/crosvm');
  assert.match(cacheFolder({ XDG_CACHE_HOME: 'x' }), /^\/.*\/\.cache\/crosvm$/);
});
