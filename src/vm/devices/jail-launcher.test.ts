/** Jails as they are: what /proc says of device processes, and what happens when one does what it may not. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { closeAll } from '../../base/fd.ts';
import { IoUring } from '../../base/io-uring.ts';
import { makeTap } from '../../base/tap.ts';
import { SOCK_STREAM, unixPair } from '../../base/unix-listener.ts';
import { streamPair } from '../../base/unix-stream.ts';
import { serialSyntax } from '../../cli/options/serial.ts';
import type { DeviceSpec } from '../../device-process/device-spec.ts';
import { NO_TRUST } from '../../disk/image-trust.ts';
import type { JailOptions } from '../../jail/jail-spec.ts';
import { ownPolicyFolder } from '../../jail/load-policy.ts';
import { parsePolicy } from '../../jail/policy/parse-policy.ts';
import { syscallNumbers } from '../../jail/policy/syscalls.ts';
import type { ProbeSpec } from '../../jail/testing/probe-device.ts';
import { createOwnDevice } from './create-own-device.ts';
import { JailLauncher, type JailPrograms } from './jail-launcher.ts';
import { keeping, type OwnDevice } from './own-device.ts';
import type { OwnSource } from './own-source.ts';
import { type ConnectedDevice, endDevice, launchDevice, untilItAnswers } from './testing/launch.ts';

const folder = mkdtempSync(join(tmpdir(), 'jail-'));
after(() => rmSync(folder, { recursive: true }));
const image = join(folder, 'disk.img');
writeFileSync(image, Buffer.alloc(65536));

const DISK = {
  ...{ path: image, writable: true, sparse: true, blockSize: 512, id: '', queues: 1, direct: false, lock: true },
  trust: NO_TRUST,
} as const;
const ring = IoUring.open(1);
ring?.close();
const RNG = { kind: 'plain', spec: { type: 'rng' } } as const;

/** Devices, what of theirs is open in their jail, and how many threads they may have. */
interface Case {
  readonly own: () => OwnDevice;
  readonly opens: readonly RegExp[];
  readonly threads?: number;
  /** Why it cannot be tested. */
  readonly skip?: string | undefined;
}
const from = (source: OwnSource) => () => createOwnDevice(source);
const CASES: Readonly<Record<string, Case>> = {
  rng: { own: from(RNG), opens: [] },
  block: { own: from({ kind: 'disk', disk: DISK }), opens: [/disk\.img$/] },
  'block with io_uring': {
    own: from({ kind: 'disk', disk: { ...DISK, executor: 'uring' } }),
    opens: [/disk\.img$/, /io_uring/, /eventfd/],
    threads: 64,
    skip: ring === undefined ? 'there is no io_uring' : undefined,
  },
  'block with an overlay': {
    own: from({ kind: 'disk', disk: { ...DISK, overlay: { kind: 'temporary' } } }),
    opens: [/disk\.img$/, /\(deleted\)$/],
  },
  balloon: {
    own: from({ kind: 'balloon', spec: { type: 'balloon', deflateOnOom: true, pageReporting: false, size: 0 } }),
    opens: [],
  },
  console: {
    own: from({
      kind: 'console',
      port: serialSyntax.parse(`hardware=virtio-console,type=file,path=${join(folder, 'out')}`),
    }),
    opens: [/\/out$/],
  },
  'net on a TAP device': {
    own: from({ kind: 'tap', card: { type: 'net' }, tap: { name: 'crosvmtest%d', pairs: 2 } }),
    opens: [/tun$/, /tun$/],
    skip: whyNoTap(),
  },
  'net on a socket': {
    own() {
      const [wire, other] = streamPair();
      const close = () => {
        wire.close();
        other.close();
      };
      return { give: async () => keeping({ type: 'net', wire: { kind: 'stream', fd: wire.fd } }), close };
    },
    opens: [/^socket:/],
  },
  vsock: { own: from({ kind: 'vsock', cid: 3, path: join(folder, 'vsock') }), opens: [/^socket:/] },
};

function whyNoTap(): string | undefined {
  try {
    closeAll(makeTap('crosvmtest%d', 1));
    return undefined;
  } catch (error) {
    return `no TAP device can be made here: ${(error as Error).message}`;
  }
}

const NAMESPACES = ['user', 'pid', 'mnt', 'net', 'ipc', 'uts'];
const testing = (name: string) => fileURLToPath(new URL(`../../jail/testing/${name}.ts`, import.meta.url));
const PROBES = { zygote: testing('probe-zygote'), spawned: testing('probe-spawned') };
/** Both ways to start device processes. */
const WAYS = [
  { way: 'forked', options: {} },
  { way: 'spawned', options: { spawns: true } },
] as const;

/** All processes whose parent is `parent`. */
function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === parent)
    .map(Number);
}

function parentOf(pid: string): number | undefined {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  } catch {
    return undefined; // gone
  }
}

/** The processes of devices: their parents are children of ours. */
function devicePids(): number[] {
  return childrenOf(process.pid).flatMap(childrenOf);
}

/** Starts a device, and waits until it has entered its jail and answers. */
async function launch(launcher: JailLauncher, spec: ProbeSpec): Promise<ConnectedDevice> {
  const device = launchDevice(launcher, spec);
  await untilItAnswers(device);
  return device;
}

/** Starts a device that is not expected to come up; how it ended, and what it said. */
async function failure(launcher: JailLauncher, spec: ProbeSpec): Promise<{ how: string; words: string | undefined }> {
  const device = launchDevice(launcher, spec);
  const how = await device.gone;
  await endDevice(device);
  return { how, words: device.lastWords() };
}

function withLauncher(options: JailOptions, programs: JailPrograms, run: (launcher: JailLauncher) => Promise<void>) {
  return async () => {
    const launcher = new JailLauncher(options, programs);
    try {
      await run(launcher);
    } finally {
      launcher.close();
    }
  };
}

for (const { way, options } of WAYS) {
  for (const [name, { own, opens, threads = 0, skip }] of Object.entries(CASES)) {
    test(
      `the jail of a ${way} ${name} device`,
      { skip: skip ?? false },
      withLauncher(options, {}, async (launcher) => {
        const device = own();
        const given = await device.give(true);
        const { spec } = given;
        const launched = await launch(launcher, spec);
        given[Symbol.dispose]();
        device.isUp?.();
        const [pid, ...others] = devicePids();
        assert.deepEqual(others, []);
        checkStatus(pid!, `${spec.type} device`, way === 'forked');
        for (const namespace of NAMESPACES) {
          assert.notEqual(
            readlinkSync(`/proc/${pid}/ns/${namespace}`),
            readlinkSync(`/proc/self/ns/${namespace}`),
            namespace,
          );
        }
        assert.deepEqual(readdirSync(`/proc/${pid}/root`), spec.type === 'vsock' ? [folder.split('/')[1]] : []);
        assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
        checkDescriptors(pid!, opens);
        const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
        assert.match(limits, new RegExp(`^Max processes +${threads} +${threads} `, 'm'));
        assert.match(limits, /^Max core file size +0 +0 /m);
        assert.match(limits, /^Max open files +1024 +1024 /m);
        assert.equal(await endDevice(launched), 'exit status 0');
        device.close();
      }),
    );
  }
}

function checkStatus(pid: number, name: string, isAlone: boolean): void {
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(field(set)!, /^0+$/, set);
    assert.deepEqual([field('Seccomp'), field('NoNewPrivs')], ['2', '1']);
    if (task !== String(pid)) continue;
    assert.equal(field('Name'), name);
    assert.match(field('NSpid')!, /\t1$/);
    if (isAlone) assert.equal(field('Threads'), '1');
  }
}

function checkDescriptors(pid: number, opens: readonly RegExp[]): void {
  const fds = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  // Messages, front end, orders; then its own files and what it waits with.
  for (const pattern of [/^socket:/, /^socket:/, /^socket:/, ...opens, /eventpoll/]) {
    const at = fds.findIndex((link) => pattern.test(link));
    assert.notEqual(at, -1, `${pattern} is not open`);
    fds.splice(at, 1);
  }
  // Nothing, twice and wherever V8 would write to; and the other end of what the front end has given it for requests.
  const others = fds.filter((link) => link !== '/dev/null');
  assert.ok(others.length <= 1 && others.every((link) => link.startsWith('socket:')), `${fds}`);
}

for (const { way, options } of WAYS)
  describe(`system calls that the policy of a ${way} device does not have`, () => {
    let launcher: JailLauncher;
    let sibling: ConnectedDevice;
    before(async () => {
      launcher = new JailLauncher(options, PROBES);
      sibling = await launch(launcher, { type: 'rng' });
    });
    after(async () => {
      // Through all of this it has lived.
      assert.equal(await endDevice(sibling), 'exit status 0');
      launcher.close();
    });

    test('each ends the device, and the reason is known', async () => {
      const text = (path: string) => readFileSync(join(ownPolicyFolder(), path), 'utf8');
      const { rules } = parsePolicy('rng', text('rng_device.policy'), text);
      const forbidden = [...syscallNumbers].filter(([, number]) => !rules.has(number));
      assert.ok(forbidden.length > 300);
      // To spawn a process takes longer.
      const tried = way === 'forked' ? forbidden : forbidden.filter((_, i) => i % 150 === 0);
      for (const [name, number] of tried) {
        const { how } = await failure(launcher, { type: 'rng', probe: [number] } as ProbeSpec);
        assert.equal(how, `killed for the system call ${name}`);
      }
    });

    const call = (name: string, ...args: number[]) => [syscallNumbers.get(name)!, ...args];
    const [AF_INET, PROT_READ_EXEC, MAP_PRIVATE_ANONYMOUS, F_SETFD] = [2, 5, 0x22, 2];
    const ARGUMENTS = [
      { type: 'rng', name: 'mmap', probe: call('mmap', 0, 4096, PROT_READ_EXEC, MAP_PRIVATE_ANONYMOUS, -1) },
      { type: 'rng', name: 'mprotect', probe: call('mprotect', 0, 4096, PROT_READ_EXEC) },
      { type: 'rng', name: 'fcntl', probe: call('fcntl', 3, F_SETFD, 0) },
      { type: 'rng', name: 'sendto', probe: call('sendto', 3, 0, 0, 0, 4096, 16) },
      { type: 'vsock', name: 'socket', probe: call('socket', AF_INET, 1, 0) },
      { type: 'block', name: 'openat', probe: call('openat', -100, 0, 0, 0) },
      { type: 'balloon', name: 'pwrite64', probe: call('pwrite64', 3, 0, 0, 0) },
      { type: 'console', name: 'execve', probe: call('execve', 0, 0, 0) },
      { type: 'net', name: 'ioctl', probe: call('ioctl', 3, 0x400454ca, 0) },
      { type: 'vsock', name: 'bind', probe: call('bind', 3, 0, 0) },
    ];
    for (const { type, name, probe } of way === 'forked' ? ARGUMENTS : ARGUMENTS.slice(0, 2)) {
      test(`${type}: ${name}(${probe.slice(1)})`, async () => {
        const { how } = await failure(launcher, { type, probe } as unknown as ProbeSpec);
        assert.equal(how, `killed for the system call ${name}`);
      });
    }

    test('a device that is killed from outside is told of, too', async () => {
      const device = await launch(launcher, { type: 'rng' });
      device.kill();
      assert.equal(await device.gone, 'killed by SIGKILL');
      await endDevice(device);
    });
  });

test(
  'with --seccomp-log-failures the call is done',
  withLauncher({ logFailures: true }, PROBES, async (launcher) => {
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
  await withLauncher({ policyFolder: policies }, PROBES, async (launcher) => {
    const { how } = await failure(launcher, { type: 'rng', probe: [syscallNumbers.get('getppid')!] });
    assert.equal(how, 'killed by SIGSYS');
    assert.throws(() => launcher.launch('x', { type: 'block' } as DeviceSpec, 0, () => {}), {
      code: 'E_SECCOMP_POLICY',
      message: `${policies}/block_device.policy, line 1: "arg7" is not one of arg0 to arg5`,
    });
    assert.throws(() => launcher.launch('x', { type: 'vsock' } as DeviceSpec, 0, () => {}), {
      code: 'E_FILE_OPEN',
      message: `the seccomp policy ${policies}/vsock_device.policy cannot be read: there is no such file`,
    });
  })();
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

test('what V8 writes to its event loop goes nowhere in a device process', () => {
  const [one, other] = unixPair(SOCK_STREAM);
  const program = `
    const { exitNow, keepDescriptors, wakeDescriptors } = await import('${new URL('../../base/process.ts', import.meta.url)}');
    const { openSync, readlinkSync, readdirSync } = await import('node:fs');
    const wake = wakeDescriptors();
    const nothing = openSync('/dev/null', 'r+');
    const kept = keepDescriptors([nothing, 1, 2, 3, ...Array.from({ length: 20 }, () => nothing)], wake);
    console.log(JSON.stringify({ wake, kept, links: wake.map((fd) => readlinkSync('/proc/self/fd/' + fd)) }));
    exitNow(0);`; // without the threads that wait for the event loop's descriptors
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit', one],
    encoding: 'utf8',
  });
  closeAll([one, other]);
  const { wake, kept, links } = JSON.parse(stdout);
  assert.ok(wake.length > 0);
  assert.equal(kept.length, 24);
  assert.deepEqual(
    kept.filter((fd: number) => wake.includes(fd)),
    [],
  );
  for (const link of links) assert.equal(link, '/dev/null');
});

test('a symbolic link in a root folder of the user leads nowhere else', async () => {
  const [root, elsewhere] = [join(folder, 'linked-root'), join(folder, 'elsewhere')];
  const first = folder.split('/')[1]!;
  for (const path of [root, elsewhere]) mkdirSync(path);
  symlinkSync(elsewhere, join(root, first));
  const own = CASES['vsock']!.own();
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
  const { status, stdout } = unshare(
    ...['sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', 'sh'],
    ...[process.execPath, '--input-type=module', '--eval', program],
  );
  if (status !== 0) return t.skip('no unshare, or no user namespaces here');
  const lines = stdout.trim().split('\n');
  assert.equal(lines.length, 2);
  for (const line of lines) {
    assert.match(
      line,
      /crosvm: the device: this host does not allow the sandbox \(.*\): allow user namespaces .*, run as root, or use --disable-sandbox$/,
    );
  }
});
