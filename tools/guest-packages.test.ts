import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PackageRecord } from './debian-control.ts';
import { CLOUD_KERNEL, CLOUD_KERNEL_6_12, resolveKernel } from './guest-packages.ts';

/** An archive of packages: name to version and dependencies. */
function archive(packages: Record<string, { version: string; depends?: string[] }>) {
  return async (name: string): Promise<PackageRecord | undefined> => {
    const found = packages[name];
    return found && { name, version: found.version, depends: found.depends ?? [], size: 1 };
  };
}
const nameOf = async (name: string, look: ReturnType<typeof archive>) => (await resolveKernel(name, look))?.name;

const bookworm = archive({
  'linux-image-cloud-amd64': { version: '6.1.192-2', depends: ['linux-image-6.1.0-56-cloud-amd64'] },
  'linux-image-6.1.0-56-cloud-amd64': { version: '6.1.192-2', depends: ['kmod', 'linux-base'] },
  'linux-image-6.12-cloud-amd64': { version: '6.12.117', depends: ['linux-image-6.12.117+deb12-cloud-amd64'] },
  'linux-image-6.12.117+deb12-cloud-amd64-unsigned': { version: '6.12.117' },
});
const trixie = archive({
  'linux-image-cloud-amd64': { version: '6.12.57-1', depends: ['linux-image-6.12.57+deb13-cloud-amd64'] },
  'linux-image-6.12.57+deb13-cloud-amd64': { version: '6.12.57-1' },
});

test('a meta-package leads to the real kernel', async () => {
  assert.equal(await nameOf(CLOUD_KERNEL, bookworm), 'linux-image-6.1.0-56-cloud-amd64');
  assert.equal(await nameOf(CLOUD_KERNEL, trixie), 'linux-image-6.12.57+deb13-cloud-amd64');
});

test('a kernel that is there unsigned only is taken', async () => {
  assert.equal(await nameOf(CLOUD_KERNEL_6_12, bookworm), 'linux-image-6.12.117+deb12-cloud-amd64-unsigned');
});

test('where 6.12 is the only kernel, it is found under its other name', async () => {
  assert.equal(await nameOf(CLOUD_KERNEL_6_12, trixie), 'linux-image-6.12.57+deb13-cloud-amd64');
});

test('a real package stands for itself, an unknown one for nothing', async () => {
  const real = 'linux-image-6.1.0-56-cloud-amd64';
  assert.equal(await nameOf(real, bookworm), real);
  assert.equal(await nameOf('linux-image-none', bookworm), undefined);
  assert.equal(await nameOf(CLOUD_KERNEL_6_12, archive({})), undefined);
});
