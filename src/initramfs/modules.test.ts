import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseModules, moduleName } from './modules.ts';

const DEPENDENCIES = `
# a comment
fs/fuse/fuse.ko:
fs/fuse/virtiofs.ko: virtio/virtio_ring.ko virtio/virtio.ko fs/fuse/fuse.ko
virtio/virtio.ko.xz:
virtio/virtio.ko: virtio/virtio_ring.ko
virtio/virtio_ring.ko:
virtio/virtio-pci.ko.zst: virtio/virtio.ko
`;

const choose = (wanted: string[], dependencies = DEPENDENCIES, builtin?: string) =>
  chooseModules(wanted, { name: 'modules.dep', dependencies, builtin });

const refuses = (dependencies: string, message: RegExp) =>
  assert.throws(() => choose(['a'], dependencies), { code: 'E_MODULES', message });

describe('chooseModules', () => {
  it('puts what a module needs before it, once', () => {
    const all = ['virtio/virtio_ring.ko', 'virtio/virtio.ko', 'virtio/virtio-pci.ko.zst'];
    const fs = ['fs/fuse/fuse.ko', 'fs/fuse/virtiofs.ko'];
    assert.deepEqual(choose(['virtio_pci', 'virtiofs']), { paths: [...all, ...fs] });
    assert.deepEqual(choose([]), { paths: [] });
  });

  it('leaves out what is part of the kernel', () => {
    const builtin = 'kernel/virtio/virtio-pci.ko\nkernel/fs/fuse/virtiofs.ko\n';
    assert.deepEqual(choose(['virtio_pci', 'virtiofs'], DEPENDENCIES, builtin), { paths: [] });
    assert.deepEqual(choose(['virtio_pci', 'fuse'], DEPENDENCIES, builtin), { paths: ['fs/fuse/fuse.ko'] });
  });

  it('says which one there is not', () => {
    assert.deepEqual(choose(['fuse', '9p']), { missing: '9p' });
    assert.deepEqual(choose(['fuse'], ''), { missing: 'fuse' });
  });

  it('refuses a broken list', () => {
    refuses('a.ko b.ko', /^modules\.dep: line 1 is not "MODULE: MODULE..."$/);
    refuses('a.ko: b.ko', /^modules\.dep: "b\.ko", which "a\.ko" needs, has no line$/);
    refuses('a.ko: b.ko\nb.ko: a.ko', /^modules\.dep: "a\.ko" needs itself$/);
    const chain = Array.from({ length: 100 }, (_, i) => `${i || 'a'}.ko: ${i + 1}.ko\n`);
    refuses(chain.join(''), /^modules\.dep: a driver needs too many modules$/);
    const leaves = Array.from({ length: 100 }, (_, i) => `${i}.ko`);
    refuses(`a.ko: ${leaves.join(' ')}\n${leaves.join(':\n')}:`, /too many/);
  });
});

describe('moduleName', () => {
  it('is what the kernel calls it', () => {
    assert.equal(moduleName('kernel/drivers/char/virtio-rng.ko.xz'), 'virtio_rng');
    assert.equal(moduleName('9p.ko'), '9p');
  });
});
