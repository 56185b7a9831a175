/** Jails as they are: what /proc says of device processes, and what happens when one does what it may not. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
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
import { HostFile } from '../../base/host-file.ts';
import { IoUring } from '../../base/io-uring.ts';
import { streamPair } from '../../base/unix-stream.ts';
import type { DeviceSpec } from '../../device-process/device-spec.ts';
import { NO_TRUST } from '../../disk/image-trust.ts';
import type { JailOptions } from '../../jail/jail-spec.ts';
import { ownPolicyFolder } from '../../jail/load-policy.ts';
import { parsePolicy } from '../../jail/policy/parse-policy.ts';
import { syscallNumbers } from '../../jail/policy/syscalls.ts';
import type { ProbeSpec } from '../../jail/testing/probe-zygote.ts';
import { greetBackEnd } from './connect-device.ts';
import { JailLauncher } from './jail-launcher.ts';
import type { LaunchedDevice } from './launcher.ts';

const folder = mkdtempSync(join(tmpdir(), 'jail-'));
after(() => rmSync(folder, { recursive: true }));
const image = join(folder, 'disk.img');
writeFileSync(image, Buffer.alloc(65536));

const BLOCK = {
  ...{ writable: true, sparse: true, blockSize: 512, id: '', queues: 1, direct: false, lock: true },
  trust: NO_TRUST,
} as const;
const probe = IoUring.open(1);
probe?.close();
const hasIoUring = probe !== undefined;
/** What keeps the writes of a guest, for a while. */
const temporary = HostFile.temporary();
const SPECS: Readonly<Record<string, { spec: DeviceSpec; opens: RegExp[]; threads?: number }>> = {
  rng: { spec: { type: 'rng' }, opens: [] },
  block: { spec: { type: 'block', path: image, ...BLOCK }, opens: [/disk\.img$/] },
  // Where there is no io_uring, it is refused: then none of this can be tested.
  ...(hasIoUring && {
    'block with io_uring': {
      spec: { type: 'block' as const, path: image, ...BLOCK, executor: 'uring' as const },
      opens: [/disk\.img$/, /io_uring/, /eventfd/],
      threads: 64,
    },
  }),
  'block with an overlay': {
    spec: { type: 'block', path: image, ...BLOCK, overlay: { kind: 'temporary', fd: temporary.fd } },
    opens: [/disk\.img$/, /\(deleted\)$/],
  },
  balloon: { spec: { type: 'balloon', deflateOnOom: true, pageReporting: false, size: 0 }, opens: [] },
  console: {
    spec: {
      type: 'console',
      ports: [{ name: '', isConsole: true, input: undefined, output: { kind: 'file', path: join(folder, 'out') } }],
    },
    opens: [/\/out$/],
  },
  /** It inherits a socket, which becomes the device's. */
  get net() {
    const [{ fd }] = streamPair();
    return { spec: { type: 'net' as const, wire: { kind: 'stream' as const, fd }, pairs: 1 }, opens: [/^socket:/] };
  },
  vsock: { spec: { type: 'vsock', cid: 3, path: join(folder, 'vsock') }, opens: [/^socket:/] },
};
const NAMESPACES = ['user', 'pid', 'mnt', 'net', 'ipc', 'uts'];
const PROBE_ZYGOTE = fileURLToPath(new URL('../../jail/testing/probe-zygote.ts', import.meta.url));

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

/** Starts a device, and waits until it has entered its jail and answers. */
async function launch(launcher: JailLauncher, spec: ProbeSpec, said: string[] = []): Promise<LaunchedDevice> {
  const device = launcher.launch('the device', spec, (line) => said.push(line));
  const backEnd = await greetBackEnd(device.connection, 'rng');
  backEnd.requests.close();
  return device;
}

/** Starts a device that is not expected to come up; how it ended, and what it said. */
async function failure(launcher: JailLauncher, spec: ProbeSpec): Promise<{ how: string; words: string | undefined }> {
  const device = launcher.launch('the device', spec, () => {});
  const how = await device.gone;
  device.connection.close();
  device.orders.close();
  return { how, words: device.lastWords() };
}

async function end({ connection, orders, gone }: LaunchedDevice): Promise<string> {
  connection.close();
  orders.close();
  return await gone;
}

function withLauncher(
  options: JailOptions,
  program: string | undefined,
  run: (launcher: JailLauncher) => Promise<void>,
) {
  return async () => {
    const launcher = new JailLauncher(options, program);
    try {
      await run(launcher);
    } finally {
      launcher.close();
    }
  };
}

for (const [type, { spec, opens, threads = 0 }] of Object.entries(SPECS)) {
  test(
    `the jail of a ${type} device`,
    withLauncher({}, undefined, async (launcher) => {
      const device = await launch(launcher, spec);
      const [zygote] = childrenOf(process.pid);
      const [pid, ...others] = childrenOf(zygote!);
      assert.deepEqual(others, []);
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
      assert.equal(field('Name'), `${spec.type} device`);
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(field(set)!, /^0+$/, set);
      assert.deepEqual([field('Seccomp'), field('NoNewPrivs'), field('Threads')], ['2', '1', '1']);
      assert.match(field('NSpid')!, /\t1$/);
      for (const name of NAMESPACES) {
        assert.notEqual(readlinkSync(`/proc/${pid}/ns/${name}`), readlinkSync(`/proc/self/ns/${name}`), name);
      }
      assert.deepEqual(readdirSync(`/proc/${pid}/root`), type === 'vsock' ? [folder.split('/')[1]] : []);
      assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');

      const fds = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
      // Nothing, nothing, messages, front end, orders; then its own files and what it waits with.
      const declared = [
        ...[/^\/dev\/null$/, /^\/dev\/null$/, /^socket:/, /^socket:/, /^socket:/],
        ...opens,
        /eventpoll/,
      ];
      for (const pattern of declared) {
        const at = fds.findIndex((link) => pattern.test(link));
        assert.notEqual(at, -1, `${pattern} is not open`);
        fds.splice(at, 1);
      }
      // The other end of what the front end has given it for requests of its own.
      assert.deepEqual(
        fds.filter((link) => !link.startsWith('socket:')),
        [],
      );
      assert.ok(fds.length <= 1, `${fds}`);
      const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
      assert.match(limits, new RegExp(`^Max processes +${threads} +${threads} `, 'm'));
      assert.match(limits, /^Max core file size +0 +0 /m);
      assert.match(limits, /^Max open files +1024 +1024 /m);
      assert.equal(await end(device), 'exit status 0');
    }),
  );
}

describe('system calls that a policy does not have', () => {
  let launcher: JailLauncher;
  let sibling: LaunchedDevice;
  before(async () => {
    launcher = new JailLauncher({}, PROBE_ZYGOTE);
    sibling = await launch(launcher, { type: 'rng' });
  });
  after(async () => {
    // Through all of this it has lived.
    assert.equal(await end(sibling), 'exit status 0');
    launcher.close();
  });

  test('each ends the device, and the reason is known', async () => {
    const text = (path: string) => readFileSync(join(ownPolicyFolder(), path), 'utf8');
    const { rules } = parsePolicy('rng', text('rng_device.policy'), text);
    const forbidden = [...syscallNumbers].filter(([, number]) => !rules.has(number));
    assert.ok(forbidden.length > 300);
    for (const [name, number] of forbidden) {
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
  for (const { type, name, probe } of ARGUMENTS) {
    test(`${type}: ${name}(${probe.slice(1)})`, async () => {
      const { how } = await failure(launcher, { ...SPECS[type]!.spec, probe });
      assert.equal(how, `killed for the system call ${name}`);
    });
  }

  test('a device that is killed from outside is told of, too', async () => {
    const device = await launch(launcher, { type: 'rng' });
    device.kill();
    assert.equal(await device.gone, 'killed by SIGKILL');
    await end(device);
  });
});

test(
  'with --seccomp-log-failures the call is done',
  withLauncher({ logFailures: true }, PROBE_ZYGOTE, async (launcher) => {
    const device = await launch(launcher, { type: 'rng', probe: [syscallNumbers.get('getppid')!] });
    assert.equal(await end(device), 'exit status 0');
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
  await withLauncher({ policyFolder: policies }, PROBE_ZYGOTE, async (launcher) => {
    const { how } = await failure(launcher, { type: 'rng', probe: [syscallNumbers.get('getppid')!] });
    assert.equal(how, 'killed by SIGSYS');
    assert.throws(() => launcher.launch('x', SPECS['block']!.spec, () => {}), {
      code: 'E_SECCOMP_POLICY',
      message: `${policies}/block_device.policy, line 1: "arg7" is not one of arg0 to arg5`,
    });
    assert.throws(() => launcher.launch('x', SPECS['vsock']!.spec, () => {}), {
      code: 'E_FILE_OPEN',
      message: `the seccomp policy ${policies}/vsock_device.policy cannot be read: there is no such file`,
    });
  })();
});

test('a root folder of the user', async () => {
  const root = join(folder, 'root');
  mkdirSync(join(root, 'here'), { recursive: true });
  await withLauncher({ root }, undefined, async (launcher) => {
    const device = await launch(launcher, { type: 'rng' });
    const [pid] = childrenOf(childrenOf(process.pid)[0]!);
    assert.deepEqual(readdirSync(`/proc/${pid}/root`), ['here']);
    await end(device);
  })();
  await withLauncher({ root: join(folder, 'none') }, undefined, async (launcher) => {
    const { how, words } = await failure(launcher, { type: 'rng' });
    assert.equal(how, 'exit status 1');
    assert.match(words!, /^crosvm: the device: mount failed for .*\/none: no such file or directory \(ENOENT\)$/);
  })();
});

test('a symbolic link in a root folder of the user leads nowhere else', async () => {
  const [root, elsewhere] = [join(folder, 'linked-root'), join(folder, 'elsewhere')];
  const first = folder.split('/')[1]!;
  for (const path of [root, elsewhere]) mkdirSync(path);
  symlinkSync(elsewhere, join(root, first));
  await withLauncher({ root }, undefined, async (launcher) => {
    const { how, words } = await failure(launcher, SPECS['vsock']!.spec);
    assert.equal(how, 'exit status 1');
    assert.match(words!, /linked-root\/.* is no folder, as a mount point has to be$/);
  })();
  assert.deepEqual(readdirSync(elsewhere), []);
});

test('what is wrong with a device is said before it enters its jail', async () => {
  await withLauncher({}, undefined, async (launcher) => {
    const { how, words } = await failure(launcher, { type: 'block', path: join(folder, 'no'), ...BLOCK });
    assert.equal(how, 'exit status 1');
    assert.match(words!, /^crosvm: the device: .*\/no: cannot be opened: there is no such file$/);
  })();
});

test('when the zygote dies its devices do, and the next device gets a new one', async () => {
  await withLauncher({}, undefined, async (launcher) => {
    const device = await launch(launcher, { type: 'rng' });
    const [zygote] = childrenOf(process.pid);
    const [pid] = childrenOf(zygote!);
    process.kill(zygote!, 'SIGKILL');
    assert.equal(await device.gone, 'its zygote has ended');
    for (let i = 0; i < 100 && parentOf(String(pid)) !== undefined; i++) await sleep(20);
    assert.equal(parentOf(String(pid)), undefined);
    await end(device);
    assert.equal(await end(await launch(launcher, { type: 'rng' })), 'exit status 0');
  })();
});

test('a host that has no user namespaces is told of in one line that says what to do', (t) => {
  // A user namespace in which no more of them can be made.
  const unshare = (...words: string[]) =>
    spawnSync('unshare', ['--user', '--map-root-user', ...words], { encoding: 'utf8' });
  const program = `
    const { JailLauncher } = await import('${new URL('./jail-launcher.ts', import.meta.url)}');
    const launcher = new JailLauncher({});
    const device = launcher.launch('the device', { type: 'rng' }, () => {});
    console.log(await device.gone, device.lastWords());
    process.exit();`;
  const { status, stdout } = unshare(
    ...['sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', 'sh'],
    ...[process.execPath, '--input-type=module', '--eval', program],
  );
  if (status !== 0) return t.skip('no unshare, or no user namespaces here');
  assert.match(
    stdout,
    /^exit status 1 crosvm: the device: this host does not allow the sandbox \(unshare failed: .*\): allow user namespaces .*, run as root, or use --disable-sandbox\n$/,
  );
});
