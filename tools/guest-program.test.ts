import assert from 'node:assert/strict';
import { test } from 'node:test';
import { libraryClosure, neededObjects } from './guest-program.ts';

test('of the packages that a program depends on, libraries are followed and others are not', async () => {
  const depends: Record<string, string[]> = {
    sqlite3: ['libc6', 'libsqlite3-0', 'zlib1g', 'readline-common'],
    libc6: ['libgcc-s1'],
    'libsqlite3-0': ['libc6'],
    'libgcc-s1': ['gcc-12-base', 'libc6'],
    'readline-common': ['libnever'],
  };
  const look = async (name: string) => {
    const found = depends[name];
    return found && { name, version: '1', depends: found, size: 1 };
  };
  const names = await libraryClosure('sqlite3', look);
  assert.deepEqual(names, ['sqlite3', 'libc6', 'libsqlite3-0', 'zlib1g', 'libgcc-s1']);
});

test('needed objects are read from what readelf prints, and nothing else is', () => {
  const printed = [
    'Dynamic section at offset 0x1 contains 3 entries:',
    ' 0x0000000000000001 (NEEDED)             Shared library: [libsqlite3.so.0]',
    ' 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]',
    ' 0x000000000000000e (SONAME)             Library soname: [libother.so.1]',
  ];
  assert.deepEqual(neededObjects(printed.join('\n')), ['libsqlite3.so.0', 'libc.so.6']);
  assert.deepEqual(neededObjects('There is no dynamic section in this file.\n'), []);
});
