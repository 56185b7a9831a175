/** What is mounted in a shared folder, before the device starts and later, in a mount namespace of the test's. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as protocol from '../src/fuse/protocol.ts';
import { type FuseClient, text } from '../src/fuse/testing/fuse-client.ts';
import { ENOENT } from '../src/host-folder/errno.ts';
import { FULL_KERNEL } from '../tools/guest-packages.ts';
import { startFolderDevice, WAYS } from './folder-device.ts';
import { CROSVM, commandOutputs, finishProgram } from './linux-guest.ts';
import { virtioGuestWords } from './virtio-guest.ts';

const ROOT = 1;
/** A command in mounts of its own, which namespaces of its processes can follow. */
const NAMESPACE = ['unshare', '--mount', 'sh', '-c', 'mount --make-rshared / && exec "$@"', 'sh'];

const canMount = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;
const skip = canMount ? false : 'nothing can be mounted here';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-mounts-'));
after(() => rmSync(folder, { recursive: true }));

function newShare(name: string, ...folders: string[]): string {
  for (const one of folders) mkdirSync(join(folder, name, one), { recursive: true });
  return join(folder, name);
}

function errorOf(client: FuseClient, parent: number, name: string): number {
  return client.call(protocol.FUSE_LOOKUP, parent, text(name))!.error;
}

for (const [way, env] of Object.entries(WAYS)) {
  for (const [cfg, later] of [
    ['timeout=0', -ENOENT],
    ['timeout=0:new_mounts=true', 0],
  ] as const) {
    test(`what is mounted later in a folder of a ${way} device with ${cfg}`, { skip }, async () => {
      const share = newShare(`${way}-${later}`, 'mounted');
      const { client, pid, end } = await startFolderDevice(share, cfg, { env, around: NAMESPACE });
      const inNamespace = (...words: string[]) => execFileSync('nsenter', ['--mount', '--target', `${pid}`, ...words]);
      const place = join(share, 'mounted');
      inNamespace('mount', '-t', 'tmpfs', 'none', place);
      inNamespace('touch', join(place, 'file'));
      const { nodeid } = client.lookup(ROOT, 'mounted');
      assert.equal(errorOf(client, nodeid, 'file'), later);
      client.makeDirectory(nodeid, 'made');
      inNamespace('umount', '--lazy', place);
      const uncovered = client.lookup(ROOT, 'mounted');
      assert.equal(errorOf(client, uncovered.nodeid, 'made'), later === 0 ? -ENOENT : 0);
      assert.equal(await end(), '');
    });
  }
}

/** Two file systems in memory, whose files have the same numbers, and a window into the kernel; then the arguments. */
const MOUNTS = `
  cd "$0" && for name in one two; do mount -t tmpfs none $name && mkdir $name/inner && echo $name >$name/inner/file || exit; done
  mount -t proc none kernel && exec "$@"
`;

/** Device and number of some files, how often a number occurs there, and the numbers that reading folders gives. */
const look = (where: string) =>
  `cd ${where}; stat -c '%n %d %i' one one/inner one/inner/file two two/inner two/inner/file; cat two/inner/file; ls -i one two/inner; cd /`;

test('a guest tells apart what is mounted in a shared folder, by virtio-fs as by 9P', { skip }, async () => {
  const share = newShare('guest', 'one', 'two', 'kernel');
  const words = await virtioGuestWords(
    ['--shared-dir', `${share}:virtio:type=fs`, '--shared-dir', `${share}:nine`],
    [
      'dmesg -n 1; mkdir /nine; mount -t virtiofs virtio /mnt && mount -t 9p -o trans=virtio,version=9p2000.L nine /nine',
      look('/mnt'),
      look('/nine'),
      'ls /mnt/kernel 2>&1; mount -t tmpfs none /mnt/kernel && touch /mnt/kernel/own && ls /mnt/kernel; umount /mnt/kernel',
      'umount /mnt/one /mnt/two && umount /nine; grep -c " virtiofs " /proc/mounts',
    ],
    { kernel: FULL_KERNEL, modules: ['fs', 'p9'] },
  );
  const shell = ['--mount', 'sh', '-c', MOUNTS, share];
  const finished = await finishProgram('unshare', [...shell, process.execPath, CROSVM, ...words]);
  const [, mounted, virtio, nine, kernel, left] = commandOutputs(finished);
  assert.deepEqual([mounted, finished.status, finished.stderr], [{ output: '', status: 0 }, 0, '']);
  for (const { output } of [virtio!, nine!]) {
    const files = output
      .split('\n')
      .slice(0, 6)
      .map((line) => line.split(' ') as [string, string, string]);
    const numberOf = new Map(files.map(([name, , number]) => [name, number]));
    assert.equal(new Set(numberOf.values()).size, 6, output);
    assert.match(output, /^two$/m);
    assert.match(output, new RegExp(`^ *${numberOf.get('one/inner')} inner$`, 'm'));
    assert.match(output, new RegExp(`^ *${numberOf.get('two/inner/file')} file$`, 'm'));
  }
  const deviceOf = (name: string) => new RegExp(`^${name} (\\d+)`, 'm').exec(virtio!.output)![1];
  assert.notEqual(deviceOf('one/inner'), deviceOf('two/inner'), 'each of them is a mount of the guest');
  assert.match(kernel!.output, /^ls: .*Permission denied\nown\n$/);
  assert.ok(Number(left!.output) >= 1, left!.output);
});
