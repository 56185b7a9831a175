import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DescriptorPaths } from './descriptor-paths.ts';
import { close, O_RDONLY, open } from './fd.ts';
import { IN_CREATE, IN_DELETE, IN_IGNORED, IN_MODIFY, IN_ONLYDIR, Inotify } from './inotify.ts';

const ENOTDIR = 20;

/** Does something with a folder that is watched. */
function onFolder(act: (path: string, inotify: Inotify, watch: (path: string, mask: number) => number) => void): void {
  const path = mkdtempSync(join(tmpdir(), 'crosvm-inotify-'));
  const inotify = Inotify.create()!;
  const paths = new DescriptorPaths('/proc/self/fd');
  try {
    act(path, inotify, (of, mask) => {
      const fd = open(of, O_RDONLY);
      const watch = inotify.watch(paths.of(fd), mask);
      close(fd);
      return watch;
    });
  } finally {
    inotify.close();
    rmSync(path, { recursive: true });
  }
}

function events(inotify: Inotify): [watch: number, mask: number, name: string][] {
  const all: [number, number, string][] = [];
  while (inotify.fill()) {
    while (inotify.next()) {
      const { source, mask, nameStart, nameLength, memory } = inotify;
      assert.equal(memory.bytes[nameStart + nameLength], nameLength === 0 ? memory.bytes[nameStart] : 0);
      all.push([source, mask, Buffer.from(memory.bytes.subarray(nameStart, nameStart + nameLength)).toString()]);
    }
  }
  return all;
}

test('what happens in a folder is told with its names, in order', () => {
  onFolder((path, inotify, watch) => {
    const folder = watch(path, IN_CREATE | IN_MODIFY | IN_DELETE);
    assert.deepEqual(events(inotify), []);
    const long = 'é'.repeat(127);
    writeFileSync(join(path, 'a'), 'text');
    writeFileSync(join(path, long), '');
    rmSync(join(path, 'a'));
    assert.deepEqual(events(inotify), [
      [folder, IN_CREATE, 'a'],
      [folder, IN_MODIFY, 'a'],
      [folder, IN_CREATE, long],
      [folder, IN_DELETE, 'a'],
    ]);
    assert.equal(watch(path, IN_CREATE), folder);
  });
});

test('a watch ends when it is taken away, or with its folder', () => {
  onFolder((path, inotify, watch) => {
    const first = watch(path, IN_CREATE);
    inotify.unwatch(first);
    inotify.unwatch(first);
    mkdirSync(join(path, 'folder'));
    const second = watch(join(path, 'folder'), IN_CREATE);
    rmSync(join(path, 'folder'), { recursive: true });
    assert.deepEqual(events(inotify), [
      [first, IN_IGNORED, ''],
      [second, IN_IGNORED, ''],
    ]);
    writeFileSync(join(path, 'file'), '');
    assert.equal(watch(join(path, 'file'), IN_MODIFY | IN_ONLYDIR), -ENOTDIR);
  });
});
