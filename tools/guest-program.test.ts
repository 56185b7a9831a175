import assert from 'node:assert/strict';
import { test } from 'node:test';
import { libraryClosure, neededObjects } from './guest-program.ts';

test('of the packages that a program depends on, libraries are followed and others are not', async () => {
  const depends: Record<string, string[]> = {
    sqlite3: ['libc6', 'libsqlite3-0', 'zlib1g', 'readline-common'],
    libc6: ['libgcc-s1'],
    'libsqlite3-0': ['libc6'],
    'libgcc-s1': ['gcc-12-base', 'libc6'],
    zlib1g: [],
    'readline-common': ['libnever'],
  };
  const look = async (names: readonly string[]) =>
    names
      .filter((name) => depends[name] !== undefined)
      .map((name) => ({ name, version: '1', depends: depends[name]!, size: 1 }));
  const closure = async (...names: string[]) => (await libraryClosure(names, look)).map(({ name }) => name);
  assert.deepEqual(await closure('sqlite3'), ['sqlite3', 'libc6', 'libsqlite3-0', 'zlib1g', 'libgcc-s1']);
  assert.deepEqual(await closure('libc6', 'zlib1g'), ['libc6', 'zlib1g', 'libgcc-s1']);
  await assert.rejects(closure('readline-common'), { code: 'E_GUEST_PACKAGE', message: /the package libnever$/ });
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
