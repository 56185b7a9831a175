import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FileEntry } from '../host-folder/attributes.ts';
import { S_IFDIR, S_IFREG } from '../host-folder/constants.ts';
import type { Folder } from '../host-folder/folder.ts';
import { Name } from '../host-folder/name.ts';
import { type Place, PlaceTree } from './place-tree.ts';

/** How often each inode was given out and not forgotten. */
let held: Map<number, number>;
let tree: PlaceTree;

beforeEach(() => {
  held = new Map();
  const forget = (inode: number, count: number) => {
    const left = held.get(inode)! - count;
    assert.ok(left >= 0, `inode ${inode} was forgotten too often`);
    if (left === 0) held.delete(inode);
    else held.set(inode, left);
  };
  tree = new PlaceTree({ forget } as unknown as Folder);
});

/** As if a look-up had found `inode`. */
function enter(parent: Place, name: string, inode: number, type: number = S_IFDIR): Place {
  held.set(inode, (held.get(inode) ?? 0) + 1);
  const entry = new FileEntry();
  entry.inode = inode;
  entry.attributes.mode = type | 0o755;
  return tree.enter(parent, Name.of(name), entry)!;
}

test('a place that several came to is one, and is forgotten when all have left', () => {
  const a = enter(tree.root, 'a', 10);
  assert.equal(enter(tree.root, 'a', 10), a);
  tree.release(a);
  assert.equal(held.get(10), 1);
  tree.release(a);
  assert.equal(held.size, 0);
  assert.notEqual(enter(tree.root, 'a', 10), a);
});

test('folders that lead to a place stay while it does', () => {
  const a = enter(tree.root, 'a', 10);
  const b = enter(a, 'b', 11);
  const c = enter(b, 'c', 12, S_IFREG);
  tree.release(a);
  tree.release(b);
  assert.deepEqual([c.parent, b.parent, held.size], [b, a, 3]);
  tree.release(c);
  assert.equal(held.size, 0);
});

test('another file with the same name takes the place, and the old one is nowhere', () => {
  const old = enter(tree.root, 'a', 10);
  const now = enter(tree.root, 'a', 11);
  assert.deepEqual([old.parent, now.parent], [undefined, tree.root]);
  tree.release(old);
  assert.equal(enter(tree.root, 'a', 11), now);
});

test('what is moved is found by its new name, what was there is nowhere', () => {
  const a = enter(tree.root, 'a', 10);
  const file = enter(a, 'file', 11, S_IFREG);
  const replaced = enter(tree.root, 'new', 12, S_IFREG);
  tree.moved(a, Name.of('file'), tree.root, Name.of('new'));
  assert.deepEqual([file.parent, file.key, replaced.parent], [tree.root, 'new', undefined]);
  assert.equal(enter(tree.root, 'new', 11, S_IFREG), file);
  for (const place of [a, file, file, replaced]) tree.release(place);
  assert.equal(held.size, 0);
});

test('two names of one file stay where they are, as rename(2) does nothing then', () => {
  const one = enter(tree.root, 'one', 10, S_IFREG);
  const two = enter(tree.root, 'two', 10, S_IFREG);
  tree.moved(tree.root, Name.of('one'), tree.root, Name.of('two'));
  assert.deepEqual([one.key, two.key, one.parent, two.parent], ['one', 'two', tree.root, tree.root]);
});

test('a folder that seems to move into itself, as the host has moved the other out of it, is nowhere', () => {
  const a = enter(tree.root, 'a', 10);
  const b = enter(a, 'b', 11);
  tree.moved(tree.root, Name.of('a'), b, Name.of('a'));
  assert.deepEqual([a.parent, b.parent], [undefined, a]);
  tree.release(a);
  tree.release(b);
  assert.equal(held.size, 0);
});

test('what was removed has no parent, and its name can be another one', () => {
  const a = enter(tree.root, 'a', 10);
  tree.removed(tree.root, Name.of('a'));
  tree.removed(tree.root, Name.of('nothing'));
  assert.equal(a.parent, undefined);
  assert.notEqual(enter(tree.root, 'a', 10), a);
});
