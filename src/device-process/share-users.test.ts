import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onlyUser, ownUser } from './share-users.ts';

const OWNER = { uid: 1000, gid: 100 };
const itself = [{ inside: 5, outside: 1000, count: 1 }];

test('who is not root is root inside, or whoever he says that he is', () => {
  assert.deepEqual(onlyUser({}, OWNER), { uid: 0, gid: 0 });
  assert.deepEqual(onlyUser({ user: { uid: 7, gid: 8 } }, OWNER), { uid: 7, gid: 8 });
  assert.deepEqual(onlyUser({ users: itself }, OWNER), { uid: 5, gid: 0 });
  assert.deepEqual(onlyUser({ users: itself, user: { uid: 5, gid: 8 } }, OWNER), { uid: 5, gid: 8 });
});

test('where users are mapped, the process is root of those, or the first', () => {
  const map = [
    { inside: 7, outside: 1, count: 1 },
    { inside: 0, outside: 100_000, count: 5 },
  ];
  assert.deepEqual(ownUser({ users: map, groups: map.slice(0, 1) }), { uid: 0, gid: 7 });
  assert.deepEqual(ownUser({}), { uid: 0, gid: 0 });
});

test('he cannot be others', () => {
  for (const users of [
    [{ inside: 0, outside: 0, count: 1 }],
    [{ inside: 0, outside: 1000, count: 2 }],
    [...itself, { inside: 6, outside: 100_000, count: 1 }],
  ]) {
    assert.throws(() => onlyUser({ users }, OWNER), { code: 'E_JAIL', message: /uidmap=N 1000 1$/ });
    assert.throws(() => onlyUser({ groups: users }, OWNER), { code: 'E_JAIL', message: /gidmap=N 100 1$/ });
  }
});
