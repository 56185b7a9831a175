import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernelParameters } from './kernel-parameters.ts';
import { findRootShare } from './root-share.ts';

const SHARES = [
  { path: '/srv/debian', tag: 'mtdfake', type: 'fs' },
  { path: '/srv/other', tag: 'other' },
] as const;

const find = (commandLine: string) => findRootShare(kernelParameters(commandLine), SHARES);

describe('findRootShare', () => {
  it('finds the share that the command line names', () => {
    const root = { folder: '/srv/debian', tag: 'mtdfake', fileSystem: 'virtiofs', drivers: ['virtio_pci', 'virtiofs'] };
    assert.deepEqual(find('rootfstype=virtiofs root=mtdfake'), root);
    assert.deepEqual(find('root=other root=mtdfake'), root);
    assert.equal(find('root=other rootfstype=ext4,9p')?.fileSystem, '9p');
  });

  it('finds none where the root is something else', () => {
    for (const text of ['', 'root=/dev/vda', 'root=mtdfake root=/dev/vda', 'root=mtdfake rootfstype=ext4', 'root=']) {
      assert.equal(find(text), undefined, text);
    }
  });
});
