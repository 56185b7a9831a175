/** Devices in their jails under a guest. What a jail is, src/vm/devices/jail-launcher.test.ts sees. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ownPolicyFolder } from '../src/jail/load-policy.ts';
import { fetchProgram } from '../tools/guest-program.ts';
import { CROSVM } from './linux-guest.ts';
import { print, RESET, rom } from './rom.ts';
import { runVirtioGuest } from './virtio-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-sandbox-'));
after(() => rmSync(folder, { recursive: true }));

test('a socket device reaches services of the host, and is reached, from its jail', async (t) => {
  const path = join(folder, 'guest');
  const sent = Buffer.alloc(1 << 20, 'from the host ');
  const server = createServer((socket) => socket.end(sent)).listen(`${path}_5000`);
  const socat = await fetchProgram('socat');
  const isOver = new AbortController();
  t.after(() => {
    isOver.abort();
    server.close();
  });
  const greeted = greeting(path, isOver.signal);
  const { finished, outputs } = await runVirtioGuest(
    ['--vsock', `9,path=${path}`],
    [
      `${socat.command} -t 60 - VSOCK-CONNECT:2:5000 </dev/null | sha256sum`,
      `${socat.command} VSOCK-CONNECT:2:5001 - 2>&1 </dev/null`,
      `echo hello | ${socat.command} -t 60 VSOCK-LISTEN:7000 -`,
    ],
    { modules: ['vsock'], files: socat.files },
  );
  assert.equal(outputs[0]?.output, `${createHash('sha256').update(sent).digest('hex')}  -\n`, finished.stderr);
  assert.match(outputs[1]!.output, /reset|refused/);
  assert.match(await greeted, /^OK \d+\nhello\n$/);
  assert.deepEqual([finished.status, finished.stderr], [0, '']);
});

/** What port 7000 of the guest says, as soon as anybody listens there. */
async function greeting(path: string, isOver: AbortSignal): Promise<string> {
  while (!isOver.aborted) {
    const socket = createConnection({ path, allowHalfOpen: true });
    socket.write('CONNECT 7000\n');
    const answer = await buffer(socket).catch(() => Buffer.alloc(0));
    socket.destroy();
    if (answer.length > 0) return answer.toString();
    await sleep(200);
  }
  return 'nothing';
}

test('a device that does what its policy refuses dies alone, and is told of', async () => {
  const policies = join(folder, 'policies');
  cpSync(ownPolicyFolder(), policies, { recursive: true });
  // Not the entropy device: a guest's kernel may wait for that one in its driver, for ever.
  const common = readFileSync(join(policies, 'common_device.policy'), 'utf8');
  writeFileSync(join(policies, 'balloon_device.policy'), common.replace(/^madvise:.*$/m, ''));
  const disk = join(folder, 'disk');
  writeFileSync(disk, 'the disk\n');
  truncateSync(disk, 1 << 20);
  const { finished, outputs } = await runVirtioGuest(
    ['--seccomp-policy-dir', policies, '-d', disk, '--init-mem', '192'],
    ['sleep 1; head -n 1 /dev/vda'],
  );
  assert.equal(outputs[0]?.output, 'the disk\n', finished.console.slice(-2000));
  assert.match(finished.stderr, /^crosvm: warn: the memory balloon has ended \(killed for the system call madvise\)/m);
  assert.doesNotMatch(finished.stderr, /the disk/);
  assert.equal(finished.status, 0);
});

test('where there can be no jail, a VM does without the devices that nobody asked for', (t) => {
  const path = join(folder, 'rom');
  writeFileSync(path, rom(print('up\n'), RESET));
  const image = join(folder, 'disk');
  writeFileSync(image, '');
  truncateSync(image, 1 << 20);
  const run = (...words: string[]) => {
    const command = [process.execPath, CROSVM, 'run', '--hypervisor', 'soft', '-m', '16', ...words, '--bios', path];
    const inNamespace = 'echo 0 >/proc/sys/user/max_user_namespaces || exit 99; exec "$@"';
    return spawnSync('unshare', ['--user', '--map-root-user', 'sh', '-c', inNamespace, 'sh', ...command], {
      encoding: 'utf8',
    });
  };
  const without = run();
  if (without.status === null || without.status === 99) return t.skip('no unshare, or no user namespaces here');
  assert.equal(without.stdout, 'up\n');
  assert.equal(without.status, 0);
  const warnings = without.stderr.trim().split('\n');
  assert.equal(warnings.length, 2, without.stderr);
  for (const line of warnings) {
    assert.match(
      line,
      /^crosvm: warn: the (entropy device|memory balloon): this host does not allow the sandbox .*; the VM goes on without it$/,
    );
  }
  const refused = run('-d', image);
  assert.equal(refused.status, 1);
  assert.match(
    refused.stderr,
    /^crosvm: run: the disk .*: this host does not allow the sandbox .* --disable-sandbox$/m,
  );
});
