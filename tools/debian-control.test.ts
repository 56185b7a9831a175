import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePackageRecords } from './debian-control.ts';

test('reads all paragraphs, continued fields too', () => {
  const text = `Package: linux-image-cloud-amd64
Version: 6.1.192-2
Pre-Depends: dpkg (>= 1.2)
Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), kmod | busybox,
 libc6:any
Size: 1480
Description: Linux for x86-64 cloud (meta-package)
 Depends: on nothing

Package: other
`;
  const cloud = {
    name: 'linux-image-cloud-amd64',
    version: '6.1.192-2',
    depends: ['linux-image-6.1.0-56-cloud-amd64', 'kmod', 'libc6', 'dpkg'],
    size: 1480,
  };
  assert.deepEqual(parsePackageRecords(text), [cloud, { name: 'other', version: '', depends: [], size: 0 }]);
});

test('does without fields that are not there', () => {
  assert.deepEqual(parsePackageRecords('Package: x\nSize: lots\n'), [{ name: 'x', version: '', depends: [], size: 0 }]);
});

test('where there is no package, there is none', () => {
  for (const text of ['', '\n\n', 'N: Unable to locate package x\n', 'Version: 1\n']) {
    assert.deepEqual(parsePackageRecords(text), []);
  }
});
