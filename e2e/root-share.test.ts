/** Guests without an initrd whose root file system is a folder of the host, with Debian's kernels as they are. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { CLOUD_KERNEL, CLOUD_KERNEL_6_12, FULL_KERNEL, fetchKernel } from '../tools/guest-packages.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { CROSVM, type Finished, finish } from './linux-guest.ts';
import { differences, OPERATIONS, operationsOnHost, operationWords } from './shared-folder/operations.ts';
import { installModules, makeRootFolder } from './shared-folder/root-folder.ts';
import { missingProgram } from './virtio-guest.ts';

const skip = missingProgram('perl') ?? false;
const STEPS = 400;

const folder = mkdtempSync(join(tmpdir(), 'crosvm-root-share-'));
const root = join(folder, 'debian');
after(() => rmSync(folder, { recursive: true }));

const INIT = `#!/bin/bash
echo "init: $EUID of Debian $(</etc/debian_version), $(/usr/bin/perl -e 'print 6 * 7'), $0 $*, $TERM, $colour"
[ -c /dev/null ] && echo made >/made && busybox mkdir -p /srv/tree && busybox cp -a /etc /srv/tree
busybox mkdir -p /proc && busybox mount -t proc proc /proc && busybox sed -n 's/^/mounted: /p' /proc/mounts
busybox ls /init /root/lib
busybox poweroff -f
`;

before(async () => {
  await makeRootFolder(root);
  writeFileSync(join(root, 'sbin', 'init'), INIT, { mode: 0o755 });
});

function run(kernel: string, ...words: readonly string[]): Promise<Finished> {
  return finish(CROSVM, ['run', '--hypervisor', 'soft', ...words, kernel]);
}

test('a guest starts from a folder that holds a Debian system', async () => {
  await installModules(root, CLOUD_KERNEL, ['virtio', 'fs']);
  const vmlinux = await vmlinuxOf(await fetchKernel());
  const share = ['--shared-dir', `${root}:mtdfake:type=fs:cache=always`];
  const finished = await run(vmlinux, ...share, '-p', 'rootfstype=virtiofs root=mtdfake', '-p', 'colour=red word');
  const { console, stderr, status } = finished;
  assert.match(console, /^init: 0 of Debian .+, 42, \/sbin\/init word, linux, red$/m, console.slice(-2000) + stderr);
  assert.match(console, /^mounted: mtdfake \/ virtiofs rw,\S+ 0 0\nmounted: devtmpfs \/dev devtmpfs rw/m);
  assert.match(console, /^ls: \/init: No such.*\nls: \/root\/lib: No such/m, 'nothing of the initramfs is seen');
  assert.equal(readFileSync(join(root, 'made'), 'utf8'), 'made\n');
  execFileSync('diff', ['-r', '--no-dereference', join(root, 'etc'), join(root, 'srv', 'tree', 'etc')]);
  assert.match(
    stderr,
    /^crosvm: info: no initrd was given: .*virtio_ring, virtio, .*fuse, virtiofs and mounts mtdfake\n$/,
  );
  assert.equal(status, 0);
});

test('a folder that is shared by 9P is mounted as the command line says', async () => {
  await installModules(root, FULL_KERNEL, ['virtio', 'p9']);
  const flags = 'rootflags=trans=virtio,version=9p2000.L,cache=mmap';
  const share = ['--shared-dir', `${root}:work`, '-p', `root=work ${flags} ro init=/bin/bash`];
  const said = 'mount -t proc proc /proc; read < /proc/mounts; echo $0 $REPLY; echo x >/file; poweroff -f';
  const words = said.replaceAll(/(mount|poweroff)(?= -)/g, 'busybox $1');
  const finished = await run(await fetchKernel(FULL_KERNEL), ...share, '-p', `-- -c "${words}"`);
  assert.match(
    finished.console,
    /^\/bin\/bash work \/ 9p ro,.*mmap.*trans=virtio/m,
    finished.console.slice(-2000) + finished.stderr,
  );
  assert.match(finished.console, /\/file: Read-only file system$/m);
  assert.equal(finished.status, 0);
});

test('Linux 6.12, which needs no modules for that, works in such a folder as on a disk', { skip }, async () => {
  const host = join(folder, 'host');
  for (const name of [host, join(root, 'work')]) mkdirSync(name);
  copyFileSync(OPERATIONS, join(root, 'operations.pl'));
  const script = [
    'cd /; busybox mount -t proc proc /proc; busybox mount -t devtmpfs dev /dev',
    `perl operations.pl ${operationWords('/work', STEPS).join(' ')} >results`,
    'busybox poweroff -f',
  ];
  writeFileSync(join(root, 'work.sh'), script.join('\n'));
  const share = ['--shared-dir', `${root}:mtdfake:type=fs`];
  const words = [...share, '-p', 'rootfstype=virtiofs root=mtdfake rw init=/bin/bash', '-p', '-- /work.sh'];
  const { console, stderr } = await run(await fetchKernel(CLOUD_KERNEL_6_12), ...words);
  assert.match(console, /fuse: init \(API version 7\.41\)/, console.slice(-2000));
  assert.equal(stderr, '');
  assert.deepEqual(differences(readFileSync(join(root, 'results'), 'utf8'), operationsOnHost(host, STEPS)), []);
});

test('a folder that cannot be started from says why', async () => {
  await installModules(root, CLOUD_KERNEL, ['virtio', 'fs']);
  const share = ['--shared-dir', `${root}:mtdfake:type=fs`, '-p', 'root=mtdfake init=/none'];
  const { console } = await run(await fetchKernel(), ...share);
  assert.match(console, /^crosvm: cannot run \/none: errno 2$/m, console.slice(-2000));
  assert.match(console, /Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100/);
});

test('a list of modules that is broken is refused before anything starts', async () => {
  const release = basename(await fetchKernel()).replace('vmlinuz-', '');
  const broken = join(folder, 'broken');
  const modules = join(broken, 'lib', 'modules', release);
  mkdirSync(modules, { recursive: true });
  const start = async (dependencies: string) => {
    writeFileSync(join(modules, 'modules.dep'), dependencies);
    return run(await fetchKernel(), '--shared-dir', `${broken}:mtdfake:type=fs`, '-p', 'root=mtdfake');
  };
  const refused = (line: string) => ({ status: 1, console: '', stderr: `crosvm: run: ${join(modules, line)}\n` });
  assert.deepEqual(await start('what is this'), refused('modules.dep: line 1 is not "MODULE: MODULE..."'));
  assert.deepEqual(await start('virtio_pci.ko:\nvirtiofs.ko:'), refused('virtio_pci.ko: the module is missing'));
});
