/** A whole Debian system, made and started by the commands of docs/debian.md, in use. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type DebianSystem, debianSystem } from '../tools/debian-system.ts';
import { freePort } from './free-port.ts';
import { CROSVM, finish } from './linux-guest.ts';
import { LoginGuest } from './login-guest.ts';
import { until } from './until.ts';
import { checkExt4, missingProgram } from './virtio-guest.ts';

const MIB = 1 << 20;
/** Many times what all of it takes on a quiet machine. */
const TIMEOUT_MS = 600_000;

const folder = mkdtempSync(join(tmpdir(), 'crosvm-debian-'));
after(() => rmSync(folder, { recursive: true }));

/** The system, or why there is none. */
async function system(): Promise<DebianSystem | string> {
  const missing = missingProgram('mmdebstrap', 'mke2fs', 'passt', 'dpkg-deb');
  if (missing !== undefined) return missing;
  if (process.getuid?.() !== 0) return 'mmdebstrap needs root to make a folder';
  return debianSystem().catch((error: Error) => `there is no Debian system: ${error.message}`);
}

function newDisk(name: string, mib: number): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, mib * MIB);
  return path;
}

/** A repository with one package, whose program prints `text`. */
function makeRepository(text: string): Map<string, Buffer> {
  const tree = join(folder, 'package');
  const file = 'hello-from-the-host.deb';
  const control = 'Package: hello-from-the-host\nVersion: 1.0\nArchitecture: all\nMaintainer: A Test <a@example.org>\n';
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  mkdirSync(join(tree, 'usr', 'bin'), { recursive: true });
  writeFileSync(join(tree, 'DEBIAN', 'control'), `${control}Description: says hello\n`);
  writeFileSync(join(tree, 'usr', 'bin', 'hello-from-the-host'), `#!/bin/sh\necho ${text}\n`, { mode: 0o755 });
  execFileSync('dpkg-deb', ['--build', '--root-owner-group', tree, join(folder, file)], { stdio: 'ignore' });
  const data = readFileSync(join(folder, file));
  const sum = createHash('sha256').update(data).digest('hex');
  const index = `${control}Filename: ./${file}\nSize: ${data.length}\nSHA256: ${sum}\nDescription: says hello\n`;
  return new Map([
    ['/Packages', Buffer.from(index)],
    [`/${file}`, data],
  ]);
}

/** Bytes that a process holds in the file of its guest's memory. */
function guestMemoryOf(pid: number): number {
  const fds = `/proc/${pid}/fd`;
  const fd = readdirSync(fds).find((name) => readlinkSync(join(fds, name)).startsWith('/memfd:crosvm_guest'));
  return statSync(join(fds, fd!)).blocks * 512;
}

test('a Debian system in use', { timeout: TIMEOUT_MS }, async (t) => {
  const debian = await system();
  if (typeof debian === 'string') return t.skip(debian);
  const root = join(folder, 'debian.img');
  copyFileSync(join(debian.folder, 'debian.img'), root, constants.COPYFILE_FICLONE);
  const [scratch, growing] = [newDisk('scratch', 64), newDisk('growing', 16)];
  const socket = join(folder, 'control');
  const words = debian.words.map((word) => (word === 'debian.img' ? root : word));
  // A disk's letter follows from its place.
  const more = ['--hypervisor', 'soft', '-s', socket, '--rwdisk', scratch, '--rwdisk', growing];
  const start = performance.now();
  const guest = new LoginGuest([...words, ...more], {
    cwd: debian.folder,
    timeout: TIMEOUT_MS,
  });
  t.after(() => guest.kill());
  const files = makeRepository('hello from a package');
  const repository = createServer(({ url }, response) => {
    const file = files.get(url!.replace('/./', '/'));
    response.writeHead(file === undefined ? 404 : 200).end(file);
  }).listen(0, '127.0.0.1');
  t.after(() => repository.close());
  const iperfPort = await freePort();
  const tree = join(debian.folder, 'debian');
  const iperf = spawn('chroot', [tree, 'iperf3', '-s', '-B', '127.0.0.1', '-p', `${iperfPort}`], { stdio: 'ignore' });
  t.after(() => iperf.kill());
  const says = async (command: string): Promise<string> => {
    const { output, status } = await guest.run(command);
    assert.equal(status, 0, `${command}: ${output}`);
    return output;
  };
  const crosvm = async (...words: string[]): Promise<string> => {
    const { status, console, stderr } = await finish(CROSVM, [...words, socket]);
    assert.equal(status, 0, stderr);
    return console;
  };

  await t.test('boots to a login prompt', async () => {
    await guest.login();
    t.diagnostic(`${((performance.now() - start) / 1000).toFixed(0)} s until the system was up`);
    assert.equal(
      await says('hostname; findmnt -no FSTYPE,OPTIONS / | cut -d, -f1 | tr -s " "; cat /proc/1/comm'),
      'guest\next4 rw\nsystemd\n',
    );
  });

  let router = '';
  await t.test('has its address by DHCP', async () => {
    router = (
      await says("until ip -4 route | grep -q ^default; do sleep 0.2; done; ip -4 route show default | cut -d' ' -f3")
    ).trim();
    assert.match(router, /^\d+\.\d+\.\d+\.\d+$/);
  });

  await t.test('installs a package from the host', async () => {
    const { port } = repository.address() as AddressInfo;
    await says('rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*');
    await says(`echo 'deb [trusted=yes] http://${router}:${port} ./' >/etc/apt/sources.list; apt-get update`);
    await says('apt-get install -y hello-from-the-host');
    assert.equal(await says('hello-from-the-host'), 'hello from a package\n');
  });

  await t.test('fio finds on a second disk what it has written', async () => {
    const job = '--name=it --filename=/dev/vdb --rw=randwrite --bsrange=4k-64k --size=24m --direct=1';
    const output = await says(`fio ${job} --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --minimal`);
    assert.match(output, /;/);
    assert.ok(readFileSync(scratch).some((byte) => byte !== 0));
  });

  await t.test('iperf3 carries data both ways', async () => {
    for (const words of ['', '-R']) {
      const json = JSON.parse(await says(`iperf3 -J -c ${router} -p ${iperfPort} -n 16M ${words}`));
      // What is under way when the client has sent all is not counted by the other side.
      assert.ok(
        json.end.sum_sent.bytes >= 16 * MIB && json.end.sum_received.bytes >= 8 * MIB,
        JSON.stringify(json.end),
      );
      t.diagnostic(`iperf3 ${words}: ${(json.end.sum_received.bits_per_second / 1e6).toFixed(0)} Mbit/s`);
    }
  });

  await t.test('sees a disk become larger while a file system is on it', async () => {
    await says('mke2fs -q -t ext4 /dev/vdc && mount /dev/vdc /mnt && echo kept >/mnt/file');
    await crosvm('disk', 'resize', '2', String(48 * MIB));
    await says('until [ $(blockdev --getsize64 /dev/vdc) = 50331648 ]; do sleep 0.1; done; resize2fs /dev/vdc');
    await says('[ $(df --output=size -m /mnt | tail -1) -gt 40 ] && grep kept /mnt/file && umount /mnt');
    checkExt4(growing);
  });

  await t.test('gives memory back to the host through the balloon', async () => {
    await says('head -c 400M /dev/zero >/dev/shm/filled; rm /dev/shm/filled');
    const before = guestMemoryOf(guest.pid);
    await crosvm('balloon', String(512 * MIB));
    const saved = () => before - guestMemoryOf(guest.pid);
    await until(
      () => saved() >= 350 * MIB,
      () => `the host has ${saved()} of ${before} bytes back`,
    );
    t.diagnostic(
      `the guest's memory took ${Math.round(before / MIB)} MiB of the host, then ${Math.round((before - saved()) / MIB)}`,
    );
    await crosvm('balloon', '0');
  });

  await t.test('shuts down, and its file system is sound', async () => {
    assert.equal(await guest.end('poweroff'), 0);
    assert.equal(guest.stderr, '');
    checkExt4(root);
    t.diagnostic(`${((performance.now() - start) / 1000).toFixed(0)} s in all`);
  });
});
