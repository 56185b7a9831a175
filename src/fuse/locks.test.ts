import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOCK_END } from '../host-folder/attributes.ts';
import { F_UNLCK, F_WRLCK, O_RDWR } from '../host-folder/constants.ts';
import * as errno from '../host-folder/errno.ts';
import { MemoryFolder } from '../host-folder/memory/memory-folder.ts';
import * as protocol from './protocol.ts';
import { clientOf, errorOf, onBoth } from './testing/folder-clients.ts';
import { args, type Lock, lockOf } from './testing/fuse-client.ts';

const ROOT = 1;

onBoth('locks are in the way of other owners, and waiting ends', (client) => {
  const { node, file } = client.create(ROOT, 'file', O_RDWR, 0o666);
  const lock = (...rest: Lock) => lockOf(file, ...rest);
  assert.equal(errorOf(client, protocol.FUSE_SETLK, node.nodeid, lock(1, 1, 0, 99)), 0);
  assert.equal(errorOf(client, protocol.FUSE_SETLK, node.nodeid, lock(2, 1, 50, 60)), -errno.EAGAIN);
  assert.equal(errorOf(client, protocol.FUSE_SETLK, node.nodeid, lock(2, 1, 100)), 0);
  const found = client.ask(protocol.FUSE_GETLK, node.nodeid, lock(2, 0, 0));
  assert.deepEqual([found.getUint32(0, true), found.getUint32(8, true), found.getUint32(16, true)], [0, 99, 1]);
  assert.equal(client.call(protocol.FUSE_SETLKW, node.nodeid, lock(2, 1, 0, 9)), undefined, 'it waits');
  client.ask(protocol.FUSE_FLUSH, node.nodeid, args(file, 0, 0, 0, 1, 0));
  assert.equal(errorOf(client, protocol.FUSE_SETLKW, node.nodeid, lock(2, 1, 0, 9)), 0);
  assert.equal(errorOf(client, protocol.FUSE_SETLK, node.nodeid, lock(2, 3)), -errno.EINVAL);
});

// Linux says nothing of locks that belong to open files (F_OFD_SETLK) when those are closed.
onBoth('a file that is closed leaves no locks', (client) => {
  const { node, file } = client.create(ROOT, 'file', O_RDWR, 0o666);
  const other = client.open(node.nodeid, O_RDWR);
  client.ask(protocol.FUSE_SETLK, node.nodeid, lockOf(other, 1, F_WRLCK));
  const tryLock = () => errorOf(client, protocol.FUSE_SETLK, node.nodeid, lockOf(file, 2, F_WRLCK));
  client.release(node.nodeid, client.open(node.nodeid, O_RDWR));
  assert.equal(tryLock(), -errno.EAGAIN, 'another file that is closed has nothing to do with it');
  client.release(node.nodeid, other);
  assert.equal(tryLock(), 0);
  client.ask(protocol.FUSE_SETLK, node.nodeid, lockOf(file, 2, F_UNLCK));
});

// As programs do that were made for Windows.
onBoth('bytes are locked that no file has', (client) => {
  const { node, file } = client.create(ROOT, 'file', O_RDWR, 0o666);
  const set = (...lock: Lock) => errorOf(client, protocol.FUSE_SETLK, node.nodeid, lockOf(file, ...lock));
  const [first, last] = [LOCK_END - 9n, LOCK_END - 5n];
  assert.equal(set(1, F_WRLCK, first, last), 0);
  assert.deepEqual([set(2, F_WRLCK, last, last), set(2, F_WRLCK, last + 1n)], [-errno.EAGAIN, 0]);
  const found = client.ask(protocol.FUSE_GETLK, node.nodeid, lockOf(file, 2, F_WRLCK));
  assert.deepEqual([found.getBigUint64(0, true), found.getBigUint64(8, true)], [first, last]);
  for (const end of [first - 1n, LOCK_END + 1n]) assert.equal(set(1, F_WRLCK, first, end), -errno.EINVAL);
});

test('a guest keeps its locks to itself where that is wanted', () => {
  const locks = (1 << protocol.FUSE_POSIX_LOCKS) | (1 << protocol.FUSE_FLOCK_LOCKS);
  const agreed = (hostLocks: boolean) => clientOf(new MemoryFolder(), { hostLocks }).init().flags & locks;
  assert.deepEqual([agreed(true), agreed(false)], [locks, 0]);
});
