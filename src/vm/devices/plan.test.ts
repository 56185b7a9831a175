import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runOptions } from '../../cli/options/run.ts';
import { parseCommandLine } from '../../cli/parser.ts';
import { preferredExecutor } from '../../device-process/device-spec.ts';
import { completeConfig, type VmConfig } from '../config.ts';
import { planDevices } from './plan.ts';
import { rootDisk } from './root-disk.ts';

const GIB = 2 ** 30;

function config(...words: string[]): VmConfig {
  return completeConfig({ ...parseCommandLine(runOptions, [], words).options, kernel: 'k' }, GIB);
}

const bare = ['--no-rng', '--no-balloon'];
const places = (...words: string[]) => planDevices(config(...words)).map(({ type, slot }) => `${type} ${slot}`);

test('a VM has entropy and a memory balloon, unless it is told otherwise', () => {
  assert.deepEqual(places(), ['rng 1', 'balloon 2']);
  assert.deepEqual(places(...bare), []);
  assert.deepEqual(places('--deterministic'), []);
});

test('how requests to disks are carried out: what the disk says, else what is said for all, else what suits it', () => {
  const executors = (...words: string[]) =>
    planDevices(config(...bare, ...words)).map(({ source }) => {
      assert.ok(source.kind === 'disk');
      return [source.disk.executor, preferredExecutor(source.disk)];
    });
  const disks = ['-b', 'a', '-b', 'b,direct', '-b', 'c,direct,async-executor=epoll', '-d', 'd,async-executor=uring'];
  const own = [
    ['epoll', 'epoll'],
    ['uring', 'uring'],
  ];
  assert.deepEqual(executors(...disks), [[undefined, 'epoll'], [undefined, 'uring'], ...own]);
  assert.deepEqual(executors('--async-executor', 'epoll', ...disks), [['epoll', 'epoll'], ['epoll', 'epoll'], ...own]);
  assert.deepEqual(executors('--async-executor=uring', ...disks), [['uring', 'uring'], ['uring', 'uring'], ...own]);
  assert.throws(() => config('-b', 'a,async-executor=threads'), { code: 'E_USAGE' });
});

test('disks in the order of the command line, whatever option they come from', () => {
  const plans = planDevices(
    config(...bare, '-d', 'a', '--rwroot', 'b', '-b', 'c,ro,id=x', '--rwdisk=d', '--vhost-user-blk', 'e'),
  );
  const told = plans.map(({ source }) =>
    source.kind === 'disk' ? [source.disk.path, source.disk.writable, source.disk.id] : source,
  );
  assert.deepEqual(told, [
    ['a', false, ''],
    ['b', true, ''],
    ['c', false, 'x'],
    ['d', true, ''],
    { kind: 'socket', path: 'e' },
  ]);
});

test('old and new ways to say the same of a disk', () => {
  for (const value of ['p,block-size=4096,direct', 'path=p,block_size=4096,o_direct=true']) {
    const [plan] = planDevices(config(...bare, '-b', value));
    assert.ok(plan!.source.kind === 'disk');
    assert.deepEqual([plan!.source.disk.blockSize, plan!.source.disk.direct], [4096, true]);
  }
});

test('formats, trust and overlays of disks, in every option for one', () => {
  const told = (option: string, value: string) => {
    const [plan] = planDevices(config(...bare, option, value));
    assert.ok(plan!.source.kind === 'disk');
    const { path, format, trust, overlay } = plan!.source.disk;
    return { path, format, trust, overlay };
  };
  const trust = { outside: false, probe: false, dataFile: false };
  for (const option of ['-b', '-r', '--rwroot', '-d', '--rwdisk']) {
    assert.deepEqual(told(option, 'p'), { path: 'p', format: undefined, trust, overlay: undefined });
    assert.deepEqual(told(option, 'p,format=qcow2,allow=[outside,data-file],overlay=temp'), {
      path: 'p',
      format: 'qcow2',
      trust: { outside: true, probe: false, dataFile: true },
      overlay: { kind: 'temporary' },
    });
    assert.deepEqual(told(option, 'p,allow=probe,overlay=./temp'), {
      path: 'p',
      format: undefined,
      trust: { ...trust, probe: true },
      overlay: { kind: 'file', path: './temp' },
    });
  }
});

test('persistent memory, behind the disks', () => {
  const words = [
    ...bare,
    '--pmem',
    'a,pci-address=00:07.0',
    '-d',
    'disk',
    '--pmem-device',
    'b',
    '--rw-pmem-device=c,d',
  ];
  const { pmem } = config(...words);
  assert.deepEqual(
    pmem.map(({ path, ro, root }) => [path, ro, root]),
    [
      ['a', false, false],
      ['b', true, false],
      ['c,d', false, false],
    ],
  );
  const specs = pmem.map((_, i) => ({ type: 'pmem' as const, fd: 50 + i, start: 2 ** 32, size: 4096 }));
  const plans = planDevices(config(...words), specs);
  assert.deepEqual(
    plans.map(({ type, slot, name }) => `${type} ${slot} ${name}`),
    [
      'block 1 the disk disk',
      'pmem 7 the persistent memory a',
      'pmem 2 the persistent memory b',
      'pmem 3 the persistent memory c,d',
    ],
  );
  assert.throws(() => config('--deterministic', '--pmem', 'a'), { code: 'E_OPTION' });
});

test('the root disk by its letter', () => {
  assert.equal(rootDisk(config('-d', 'a')), undefined);
  assert.deepEqual(rootDisk(config('-d', 'a', '-r', 'b')), { device: '/dev/vdb', writable: false });
  assert.deepEqual(rootDisk(config('-b', 'b,root')), { device: '/dev/vda', writable: true });
  assert.deepEqual(rootDisk(config('--pmem', 'a', '--pmem', 'b,ro,root')), { device: '/dev/pmem1', writable: false });
  assert.throws(() => rootDisk(config('-r', 'a', '--rwroot', 'b')), { code: 'E_OPTION' });
  assert.throws(() => rootDisk(config('-r', 'a', '--pmem', 'b,root')), { code: 'E_OPTION' });
  const many = Array.from({ length: 26 }, () => ['-d', 'a']).flat();
  assert.throws(() => rootDisk(config(...many, '-r', 'b')), { code: 'E_OPTION' });
});

test('places on the PCI bus', () => {
  const at = (slot: string) => `type=rng,socket=s,pci-address=${slot}`;
  assert.deepEqual(places(...bare, '-d', 'a', '--vhost-user', at('00:01.0'), '-d', 'b,pci-address=0:1e.0'), [
    'block 2',
    'block 30',
    'rng 1',
  ]);
  assert.throws(() => places('--vhost-user', at('00:05.0'), '-d', 'a,pci-address=00:05.0'), { code: 'E_PCI_ADDRESS' });
  assert.throws(() => places(...Array.from({ length: 31 }, () => ['-d', 'a']).flat()), { code: 'E_PCI_ADDRESS' });
});

for (const words of [
  ['--vhost-user', 'type=rng'],
  ['--vhost-user', 'type=toaster,socket=s'],
  ['--vhost-user', 'type=rng,socket=s,max-queue-size=100'],
  ['--vhost-user', 'type=rng,socket=s,pci-address=00:00.0'],
  ['--vhost-user', 'type=rng,socket=s,pci-address=00:1f.0'],
  ['--vhost-user', 'type=rng,socket=s,pci-address=01:01.0'],
  ['--vhost-user-fs', `s:${'x'.repeat(37)}`],
  ['--vhost-user-fs', 's:'],
  ['--vhost-user', 'type=fs,socket=s,tag='],
  ['--vhost-user-blk', ''],
  ['-d', 'a,sparse=maybe'],
  ['-d', 'a,block-size=513'],
  ['-d', 'a,root'],
  ['-d', 'a,format=vmdk'],
  ['-d', 'a,allow=all'],
  ['-d', 'a,overlay='],
]) {
  test(`refuses ${words.join(' ')}`, () => assert.throws(() => config(...words), { code: 'E_USAGE' }));
}

test('a file system has its tag from the command line, or from its back end', () => {
  const tags = planDevices(
    config(
      ...[...bare, '--vhost-user-fs', 's:tag', '--vhost-user-fs', 's,tag=other', '--vhost-user-fs', 's'],
      ...['--vhost-user', 'type=fs,socket=s,tag=third'],
    ),
  );
  assert.deepEqual(
    tags.map(({ tag }) => tag),
    ['tag', 'other', undefined, 'third'],
  );
  const share = (tag: string, type: string) => ['--shared-dir', `/:${tag}:type=${type}`];
  const plan = (...words: string[]) => planDevices(config(...bare, ...words));
  for (const other of [
    share('tag', 'fs'),
    ['--vhost-user-fs', 's:tag'],
    ['--vhost-user', 'type=fs,socket=s,tag=tag'],
  ]) {
    const message = 'two shared folders have the tag "tag"';
    assert.throws(() => plan(...share('tag', 'fs'), ...other), { code: 'E_OPTION', message });
  }
  assert.equal(plan(...share('tag', 'fs'), ...share('tag', 'p9'), ...share('other', 'p9')).length, 3);
  const long = 't'.repeat(37);
  for (const words of [share(long, 'fs'), ['--vhost-user-fs', `s:${long}`]]) {
    assert.throws(() => plan(...words), { message: /1 to 36 bytes/ });
  }
  assert.equal(plan(...share(long, 'p9')).length, 1);
  assert.throws(() => plan(...share('t'.repeat(255), 'p9')), { code: 'E_9P_TAG' });
  const other = config(...bare, '--vhost-user', 'type=net,socket=s,tag=name');
  assert.throws(() => planDevices(other), { code: 'E_OPTION', message: /only a file system has a tag/ });
});

test('network cards', () => {
  const mac = [2, 0, 0, 0, 0, 7];
  const words = ['--net', 'tap-name=tap0,vq-pairs=2,mtu=9000', '--tap-name', 'tap1', '--tap-fd', '7'];
  const made = ['--host_ip', '10.0.0.1', '--netmask', '255.0.0.0', '--mac', '02:00:00:00:00:07'];
  const sources = planDevices(config(...bare, ...words, ...made)).map(({ source }) => source);
  const card = { type: 'net', mac: undefined, mtu: undefined };
  const common = { kind: 'tap', card, address: undefined };
  assert.deepEqual(sources, [
    { ...common, card: { ...card, mtu: 9000 }, tap: { name: 'tap0', pairs: 2 } },
    { ...common, tap: { name: 'tap1', pairs: 1 } },
    { ...common, tap: { fd: 7 } },
    {
      ...common,
      card: { ...card, mac },
      tap: { name: 'crosvm%d', pairs: 1 },
      address: { ip: [10, 0, 0, 1], netmask: [255, 0, 0, 0] },
    },
  ]);
  for (const wrong of [
    ['--net', 'mac=02:00:00:00:00:07'],
    ['--net', 'tap-fd=7,tap-name=tap0'],
    ['--net', 'tap-fd=7,vq-pairs=2'],
    ['--net', 'host-ip=10.0.0.1'],
    ['--net', 'tap-name=tap0,forward=1:2'],
    ['--net', 'user,tap-name=tap0'],
    ['--net', 'user,tap-fd=7'],
    ['--net', 'user,host-ip=10.0.0.1,netmask=255.0.0.0'],
    ['--net', 'user,vq-pairs=2'],
    ['--host_ip', '10.0.0.1'],
  ]) {
    assert.throws(() => places(...wrong), { code: 'E_OPTION' }, wrong.join(' '));
  }
});

test('network cards in the kernel', () => {
  const kinds = (...words: string[]) => planDevices(config(...bare, ...words)).map(({ source }) => source.kind);
  const cards = ['--net', 'tap-name=a', '--net', 'tap-name=b,vhost-net', '--tap-fd', '7'];
  assert.deepEqual(kinds(...cards), ['tap', 'vhost-net', 'tap']);
  assert.deepEqual(kinds(...cards, '--net', 'user', '--vhost-net'), [
    'vhost-net',
    'vhost-net',
    'vhost-net',
    'user-network',
  ]);
  const [plan] = planDevices(config(...bare, '--net', 'tap-name=a,vhost-net', '--vhost-net-device', '/dev/x'));
  assert.ok(plan!.source.kind === 'vhost-net' && plan!.source.device === '/dev/x');
  for (const wrong of ['tap-name=a,vhost-net,vq-pairs=2', 'user,vhost-net']) {
    assert.throws(() => places('--net', wrong), { code: 'E_OPTION' }, wrong);
  }
});

test('sockets between guest and host', () => {
  const [plan] = planDevices(config(...bare, '--vsock', '5,path=/run/guest'));
  assert.deepEqual(plan!.source, { kind: 'vsock', cid: 5, path: '/run/guest' });
  const before = process.env['XDG_RUNTIME_DIR'];
  try {
    process.env['XDG_RUNTIME_DIR'] = '/run/user/1';
    const [other] = planDevices(config(...bare, '--cid', '7'));
    const otherwise = { kind: 'vsock', cid: 7, path: '/run/user/1/crosvm-vsock-7' };
    const kernel = { kind: 'vhost-vsock', cid: 7, device: '/dev/vhost-vsock', isNamed: false, otherwise };
    assert.deepEqual(other!.source, kernel);
    delete process.env['XDG_RUNTIME_DIR'];
    for (const [words, device] of [
      [['--vsock', '7,device=/dev/x'], '/dev/x'],
      [['--cid', '7', '--vhost-vsock-device', '/dev/x'], '/dev/x'],
      [['--cid', '7', '--vhost-vsock-fd', '5'], 5],
    ] as const) {
      const [named] = planDevices(config(...bare, ...words));
      assert.deepEqual(named!.source, { ...kernel, device, isNamed: true, otherwise: undefined });
    }
  } finally {
    if (before !== undefined) process.env['XDG_RUNTIME_DIR'] = before;
  }
  for (const wrong of [
    ['--vhost-vsock-fd', '5'],
    ['--vhost-vsock-device', '/dev/x'],
    ['--vsock', '7,device=/dev/x', '--vhost-vsock-fd', '5'],
    ['--vsock', '7,path=/p,device=/dev/x'],
  ]) {
    assert.throws(() => places(...wrong), { code: 'E_OPTION' }, wrong.join(' '));
  }
  for (const wrong of ['2', '4294967295', 'x', 'path=/p']) {
    assert.throws(() => config('--vsock', wrong), { code: 'E_USAGE' }, wrong);
  }
});

test('a network card without a TAP device', () => {
  const values = ['user', 'user,forward=8080:80,forward=[2222:22,5353:53],mtu=1500,pci-address=00:09.0'];
  const plans = planDevices(config(...bare, ...values.flatMap((value) => ['--net', value])));
  const card = { type: 'net', mac: undefined, mtu: undefined };
  assert.deepEqual(
    plans.map(({ type, source, slot }) => ({ type, source, slot })),
    [
      { type: 'net', source: { kind: 'user-network', card, forwards: [] }, slot: 1 },
      {
        type: 'net',
        source: {
          kind: 'user-network',
          card: { ...card, mtu: 1500 },
          forwards: [
            { host: 8080, guest: 80 },
            { host: 2222, guest: 22 },
            { host: 5353, guest: 53 },
          ],
        },
        slot: 9,
      },
    ],
  );
  for (const wrong of ['user,forward=80', 'user,forward=[[1:2]]', 'user,forward=[host=1:2]', 'forward=', '[user]']) {
    assert.throws(() => config('--net', wrong), { code: 'E_USAGE' }, wrong);
  }
});

test('shared folders', () => {
  const specOf = (text: string) => {
    const [plan] = planDevices(config(...bare, '--shared-dir', text));
    assert.ok(plan!.source.kind === 'plain' && plan!.source.spec.type === 'fs');
    return plan!.source.spec;
  };
  const seeds = specOf('/:mtdfake:type=fs:cache=always');
  assert.deepEqual([seeds.path, seeds.tag, seeds.queues], ['/', 'mtdfake', 1]);
  assert.deepEqual([seeds.options.cache, seeds.options.timeout, seeds.options.readOnly], ['always', 86_400, false]);
  const other = specOf('p:t:type=fs:ro:timeout=7:queues=2');
  assert.deepEqual([other.options.timeout, other.options.readOnly, other.queues], [7, true, 2]);
});
