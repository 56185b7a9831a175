/** A folder of the host in a guest, through Debian's virtiofsd, which we did not write. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from './until.ts';
import { runVirtioGuest } from './virtio-guest.ts';

/** QEMU's in C (package qemu-system-common of Debian 12), and the later one in Rust (package virtiofsd). */
const IN_C = '/usr/lib/qemu/virtiofsd';
const PROGRAMS = [IN_C, '/usr/libexec/virtiofsd', '/usr/bin/virtiofsd'];
const program = PROGRAMS.find((path) => existsSync(path));

const folder = mkdtempSync(join(tmpdir(), 'crosvm-virtiofsd-'));
after(() => rmSync(folder, { recursive: true }));

/** Starts a server of `shared`, which ends with its front end. */
async function startServer(shared: string, sandbox: string): Promise<{ socket: string; ended: Promise<void> }> {
  const socket = join(folder, `${sandbox}.sock`);
  const where =
    program === IN_C ? ['-o', `source=${shared},sandbox=${sandbox}`] : ['--shared-dir', shared, '--sandbox', sandbox];
  const server = spawn(program!, [`--socket-path=${socket}`, ...where], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  after(() => void server.kill('SIGKILL'));
  await until(() => existsSync(socket), `virtiofsd with sandbox=${sandbox}`);
  return { socket, ended };
}

const skip =
  program === undefined
    ? 'virtiofsd is not installed'
    : process.getuid?.() === 0
      ? false
      : 'virtiofsd takes root for its sandbox';

test('a guest mounts folders of virtiofsd, in both of its sandboxes, and both sides see the same', {
  skip,
}, async () => {
  const shared = ['namespace', 'chroot'].map((sandbox) => {
    const path = join(folder, sandbox);
    mkdirSync(join(path, 'inner'), { recursive: true });
    writeFileSync(join(path, 'inner', 'greeting'), `from the host (${sandbox})\n`);
    return { sandbox, path };
  });
  const servers = await Promise.all(shared.map(({ sandbox, path }) => startServer(path, sandbox)));
  const [one, two] = servers.map(({ socket }) => socket);
  const { outputs, finished } = await runVirtioGuest(
    ['--vhost-user-fs', `${one}:first`, '--vhost-user', `type=fs,socket=${two},tag=second`],
    ['first', 'second'].map(
      (tag) => `mount -t virtiofs ${tag} /mnt && cat /mnt/inner/greeting && seq 1 50000 >/mnt/numbers &&
        mkdir /mnt/made && echo moved >/mnt/a && mv /mnt/a /mnt/made/b && chmod 600 /mnt/made/b && ln -s b /mnt/made/link &&
        rm /mnt/inner/greeting && umount /mnt && mount -t virtiofs ${tag} /mnt && sha256sum </mnt/numbers && ls -1 /mnt; umount /mnt`,
    ),
    { modules: ['fs'] },
  );
  const numbers = Array.from({ length: 50_000 }, (_, i) => `${i + 1}\n`).join('');
  const digest = createHash('sha256').update(numbers).digest('hex');
  for (const [i, { sandbox, path }] of shared.entries()) {
    const output = outputs[i]?.output ?? finished.console.slice(-2000) + finished.stderr;
    assert.ok(output.startsWith(`from the host (${sandbox})\n${digest}`), output);
    assert.match(output, /\ninner\nmade\nnumbers\n/);
    assert.equal(readFileSync(join(path, 'numbers'), 'utf8'), numbers);
    assert.equal(readFileSync(join(path, 'made', 'link'), 'utf8'), 'moved\n');
    assert.equal(statSync(join(path, 'made', 'b')).mode & 0o777, 0o600);
    assert.ok(!existsSync(join(path, 'inner', 'greeting')));
  }
  await Promise.all(servers.map(({ ended }) => ended));
});
