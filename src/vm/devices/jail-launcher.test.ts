/** How device processes are started, by what policies and at which root, and how they end with who has started them. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeviceSpec } from '../../device-process/device-spec.ts';
import { ownPolicyFolder } from '../../jail/load-policy.ts';
import { syscallNumbers } from '../../jail/policy/syscalls.ts';
import { createOwnDevice } from './create-own-device.ts';
import {
  childrenOf,
  devicePids,
  failure,
  launch,
  PROBES,
  parentOf,
  testing,
  WAYS,
  withLauncher,
} from './testing/jailed.ts';
import { endDevice, launchDevice, untilItAnswers } from './testing/launch.ts';

const folder = mkdtempSync(join(tmpdir(), 'jail-'));
after(() => rmSync(folder, { recursive: true }));

for (const { way, options } of WAYS)
  test(
    `with --seccomp-log-failures the call of a ${way} device is done`,
    withLauncher({ ...options, logFailures: true }, PROBES, async (launcher) => {
      const device = await launch(launcher, { type: 'rng', probe: [syscallNumbers.get('getppid')!] });
      assert.equal(await endDevice(device), 'exit status 0');
    }),
  );

test('policies of a folder of the user', async () => {
  const common = readFileSync(join(ownPolicyFolder(), 'common_device.policy'), 'utf8');
  const policies = join(folder, 'policies');
  mkdirSync(policies);
  // Without sendmsg being allowed for sure, the zygote cannot get the listener: then the kernel ends the process.
  const policy = common.replace(/^sendmsg: 1$/m, 'sendmsg: arg0 >= 0 && arg1 != 0');
  writeFileSync(join(policies, 'rng_device.policy'), policy);
  writeFileSync(join(policies, 'block_device.policy'), 'read: arg7 == 1\n');
  for (const { way, options } of WAYS) {
    await withLauncher({ ...options, policyFolder: policies }, PROBES, async (launcher) => {
      const { how } = await failure(launcher, { type: 'rng', probe: [syscallNumbers.get('getppid')!] });
      assert.equal(how, 'killed by SIGSYS', way);
      assert.throws(() => launcher.launch('x', { type: 'block' } as DeviceSpec, 0, () => {}), {
        code: 'E_SECCOMP_POLICY',
        message: `${policies}/block_device.policy, line 1: "arg7" is not one of arg0 to arg5`,
      });
      assert.throws(() => launcher.launch('x', { type: 'vsock' } as DeviceSpec, 0, () => {}), {
        code: 'E_FILE_OPEN',
        message: `the seccomp policy ${policies}/vsock_device.policy cannot be read: there is no such file`,
      });
    })();
  }
});

for (const { way, options } of WAYS) {
  test(`a root folder of the user, for ${way} devices`, async () => {
    const root = join(folder, `root of ${way}`);
    mkdirSync(join(root, 'here'), { recursive: true });
    await withLauncher({ ...options, root }, {}, async (launcher) => {
      const device = await launch(launcher, { type: 'rng' });
      assert.deepEqual(readdirSync(`/proc/${devicePids()[0]}/root`), ['here']);
      await endDevice(device);
    })();
    await withLauncher({ ...options, root: join(folder, 'none') }, {}, async (launcher) => {
      const { how, words } = await failure(launcher, { type: 'rng' });
      assert.match(how, way === 'forked' ? /^exit status 1$/ : /^killed by SIGKILL$/);
      assert.match(words!, /^crosvm: the device: mount failed for .*\/none: no such file or directory \(ENOENT\)$/);
    })();
  });

  test(`a ${way} device ends with its VMM, and with a signal`, async () => {
    const program = `
      const { JailLauncher } = await import('${new URL('./jail-launcher.ts', import.meta.url)}');
      const { launchDevice, untilItAnswers } = await import('${new URL('./testing/launch.ts', import.meta.url)}');
      const device = launchDevice(new JailLauncher(${JSON.stringify(options)}), { type: 'rng' });
      await untilItAnswers(device);
      console.log('up');
      setInterval(() => {}, 1000);`;
    const vmm = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 2] });
    await new Promise((resolve) => vmm.stdout!.once('data', resolve));
    const [pid] = childrenOf(vmm.pid!).flatMap(childrenOf);
    assert.notEqual(pid, undefined);
    vmm.kill('SIGKILL');
    for (let i = 0; i < 200 && parentOf(String(pid)) !== undefined; i++) await sleep(20);
    assert.equal(parentOf(String(pid)), undefined);
  });
}

test(
  'where a zygote cannot fork, devices are spawned, those that it was asked for too',
  withLauncher({}, { zygote: testing('unfit-zygote') }, async (launcher) => {
    const devices = [launchDevice(launcher, { type: 'rng' }), launchDevice(launcher, { type: 'rng' })];
    await Promise.all(devices.map(untilItAnswers));
    for (const device of devices) assert.equal(await endDevice(device), 'exit status 0');
    assert.equal(await endDevice(await launch(launcher, { type: 'rng' })), 'exit status 0');
  }),
);

test('a symbolic link in a root folder of the user leads nowhere else', async () => {
  const [root, elsewhere] = [join(folder, 'linked-root'), join(folder, 'elsewhere')];
  const first = folder.split('/')[1]!;
  for (const path of [root, elsewhere]) mkdirSync(path);
  symlinkSync(elsewhere, join(root, first));
  const own = createOwnDevice({ kind: 'vsock', cid: 3, path: join(folder, 'vsock') });
  const { spec } = await own.give(true);
  for (const { way, options } of WAYS) {
    await withLauncher({ ...options, root }, {}, async (launcher) => {
      const { how, words } = await failure(launcher, spec);
      assert.match(how, way === 'forked' ? /^exit status 1$/ : /^killed by SIGKILL$/);
      assert.match(words!, /linked-root\/.* is no folder, as a mount point has to be$/);
    })();
  }
  own.close();
  assert.deepEqual(readdirSync(elsewhere), []);
});

test('when the zygote dies its devices do, and the next device gets a new one', async () => {
  await withLauncher({}, {}, async (launcher) => {
    const device = await launch(launcher, { type: 'rng' });
    const [zygote] = childrenOf(process.pid);
    const [pid] = childrenOf(zygote!);
    process.kill(zygote!, 'SIGKILL');
    assert.equal(await device.gone, 'its zygote has ended');
    for (let i = 0; i < 100 && parentOf(String(pid)) !== undefined; i++) await sleep(20);
    assert.equal(parentOf(String(pid)), undefined);
    await endDevice(device);
    assert.equal(await endDevice(await launch(launcher, { type: 'rng' })), 'exit status 0');
  })();
});

test('a host that has no user namespaces is told of in one line that says what to do', (t) => {
  // A user namespace in which no more of them can be made.
  const unshare = (...words: string[]) =>
    spawnSync('unshare', ['--user', '--map-root-user', ...words], { encoding: 'utf8' });
  const program = `
    const { JailLauncher } = await import('${new URL('./jail-launcher.ts', import.meta.url)}');
    const { launchDevice } = await import('${new URL('./testing/launch.ts', import.meta.url)}');
    for (const spawns of [false, true]) {
      const device = launchDevice(new JailLauncher({ spawns }), { type: 'rng' });
      console.log(await device.gone, device.lastWords());
    }
    process.exit();`;
  const { status, stdout, stderr } = unshare(
    ...['sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces || exit 99; exec "$@"', 'sh'],
    ...[process.execPath, '--input-type=module', '--eval', program],
  );
  if (status === null || status === 99 || stderr.startsWith('unshare:')) {
    return t.skip('no unshare, or no user namespaces here');
  }
  assert.deepEqual([status, stderr], [0, '']);
  const lines = stdout.trim().split('\n');
  assert.equal(lines.length, 2);
  for (const line of lines) {
    assert.match(
      line,
      /crosvm: the device: this host does not allow the sandbox \(.*\): allow user namespaces .*, run as root, or use --disable-sandbox$/,
    );
  }
});
