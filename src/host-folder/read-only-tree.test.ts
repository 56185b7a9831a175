import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as protocol from '../fuse/protocol.ts';
import { clientOf, errorOf } from '../fuse/testing/folder-clients.ts';
import { args, join, text } from '../fuse/testing/fuse-client.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import { DirectoryEntry, type FileAttributes, FileEntry } from './attributes.ts';
import { F_WRLCK, O_RDONLY, O_RDWR, S_IFDIR, S_IFLNK, S_IFREG } from './constants.ts';
import { EAGAIN, EBADF, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, EROFS, ESTALE } from './errno.ts';
import { ROOT_INODE } from './folder.ts';
import { Name } from './name.ts';
import { ReadOnlyTree } from './read-only-tree.ts';

type Content = { readonly [name: string]: Content } | string;

/** Objects are folders, texts files, and those that begin with `>` links. */
class Tree extends ReadOnlyTree<Content> {
  protected override find(folder: Content, name: string): Content | undefined {
    return typeof folder === 'object' && Object.hasOwn(folder, name) ? folder[name] : undefined;
  }
  protected override list(folder: Content): [string, Content][] {
    return Object.entries(folder);
  }
  protected override describe(file: Content, attributes: FileAttributes): void {
    const isFolder = typeof file === 'object';
    const type = isFolder ? S_IFDIR : file.startsWith('>') ? S_IFLNK : S_IFREG;
    attributes.mode = type | 0o555;
    attributes.size = isFolder ? 0 : file.length;
  }
  protected override readContent(file: Content, offset: number, target: ScatterList): number {
    return target.copyFrom(Buffer.from(file as string).subarray(offset));
  }
  protected override linkTarget(link: Content): string {
    return (link as string).slice(1);
  }
}

const numbered = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`file-${i}`, `text ${i}`]));
const tree = () => new Tree({ file: 'what it says', folder: { inner: 'more' }, link: '>folder', many: numbered });

test('a guest reads what a program makes up', () => {
  const client = clientOf(tree());
  const file = client.lookup(ROOT_INODE, 'file');
  assert.equal(file.size, 12);
  const open = client.open(file.nodeid, O_RDONLY);
  assert.equal(Buffer.from(client.read(file.nodeid, open, 5, 100)).toString(), 'it says');
  assert.equal(client.read(file.nodeid, open, 100, 100).length, 0);
  const link = client.lookup(ROOT_INODE, 'link');
  const target = client.ask(protocol.FUSE_READLINK, link.nodeid, new Uint8Array(0));
  assert.equal(Buffer.from(target.buffer, target.byteOffset, target.byteLength).toString(), 'folder');
  assert.deepEqual(client.readDirectory(ROOT_INODE), ['.', '..', 'file', 'folder', 'link', 'many']);
  const many = client.lookup(ROOT_INODE, 'many').nodeid;
  assert.deepEqual(client.readDirectory(many, 1000), ['.', '..', ...Object.keys(numbered)], 'in pieces');
});

test('nothing of it is changed, and nothing else is there', () => {
  const client = clientOf(tree());
  const { nodeid } = client.lookup(ROOT_INODE, 'file');
  const folder = client.lookup(ROOT_INODE, 'folder').nodeid;
  assert.equal(errorOf(client, protocol.FUSE_OPEN, nodeid, args(O_RDWR, 0)), -EROFS);
  assert.equal(errorOf(client, protocol.FUSE_MKDIR, ROOT_INODE, join(args(0o755, 0), text('new'))), -EROFS);
  assert.equal(errorOf(client, protocol.FUSE_UNLINK, ROOT_INODE, text('file')), -EROFS);
  assert.equal(errorOf(client, protocol.FUSE_SETATTR, nodeid, new Uint8Array(88)), -EROFS);
  assert.equal(errorOf(client, protocol.FUSE_LOOKUP, ROOT_INODE, text('nothing')), -ENOENT);
  for (const name of ['.', '..', 'folder/inner']) {
    assert.equal(errorOf(client, protocol.FUSE_LOOKUP, ROOT_INODE, text(name)), -EINVAL);
  }
  assert.equal(errorOf(client, protocol.FUSE_LOOKUP, nodeid, text('inner')), -ENOTDIR);
  assert.equal(errorOf(client, protocol.FUSE_OPEN, folder, args(O_RDONLY, 0)), -EISDIR);
  const link = client.lookup(ROOT_INODE, 'link').nodeid;
  assert.equal(errorOf(client, protocol.FUSE_OPEN, link, args(O_RDONLY, 0)), -ELOOP);
  assert.equal(errorOf(client, protocol.FUSE_OPENDIR, nodeid, args(0, 0)), -ENOTDIR);
});

test('what clients forget is known no more, and while they know it it is the same', () => {
  const folder = tree();
  const entry = new FileEntry();
  const look = () => {
    assert.equal(folder.lookup(ROOT_INODE, Name.of('file'), entry), 0);
    return entry.inode;
  };
  const inode = look();
  assert.equal(look(), inode);
  folder.forget(inode, 1);
  const file = folder.open(inode, O_RDONLY);
  folder.forget(inode, 5);
  assert.equal(folder.getAttributes(inode, 0, entry.attributes), 0, 'it is open');
  folder.release(file);
  assert.equal(folder.getAttributes(inode, 0, entry.attributes), -ESTALE);
  assert.equal(folder.getAttributes(inode, file, entry.attributes), -EBADF);
  folder.forget(ROOT_INODE, 1000);
  assert.equal(folder.getAttributes(ROOT_INODE, 0, entry.attributes), 0);
});

test('a place in a folder is found again, and locks are in the way of others', () => {
  const folder = tree();
  const [entry, next] = [new FileEntry(), new DirectoryEntry()];
  folder.lookup(ROOT_INODE, Name.of('many'), entry);
  const file = folder.openDirectory(entry.inode);
  for (const at of [0, 499, 250, 250, 251]) {
    assert.equal(folder.nextEntry(file, 2 + at, 0, next), 1);
    assert.equal(next.name.toString(), `file-${at}`);
  }
  assert.deepEqual(
    [502, 503, 2 ** 32 - 1].map((cookie) => folder.nextEntry(file, cookie, 7, next)),
    [0, 0, 0],
  );
  folder.lookup(ROOT_INODE, Name.of('file'), entry);
  const [one, other] = [folder.open(entry.inode, O_RDONLY), folder.open(entry.inode, O_RDONLY)];
  const lock = { type: F_WRLCK, start: 0n, end: 9n, pid: 1 };
  assert.deepEqual([folder.setLock(one, 1n, lock), folder.setLock(other, 2n, lock)], [0, -EAGAIN]);
  folder.release(one);
  assert.equal(folder.setLock(other, 2n, lock), 0);
});
