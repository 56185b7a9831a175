/** Virtio devices of our own: where they run, and what happens when they or their VM die. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FULL_KERNEL } from '../tools/guest-packages.ts';
import { CROSVM, finish } from './linux-guest.ts';
import { devicesNamed } from './named-devices.ts';
import { print, rom } from './rom.ts';
import { until } from './until.ts';
import {
  checkExt4,
  type GuestExtras,
  makeExt4,
  missingProgram,
  noTap,
  readExt4,
  runVirtioGuest,
  URING,
} from './virtio-guest.ts';

const skip = missingProgram('mke2fs', 'debugfs') ?? false;
const noQemuImg = missingProgram('mke2fs', 'debugfs', 'qemu-img') ?? false;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-devices-'));
after(() => rmSync(folder, { recursive: true }));

/** A file of this test with an ext4 file system. */
function newImage(name: string): string {
  const image = join(folder, name);
  makeExt4(image, 32);
  return image;
}

/** Processes of disks that have `image` open; the VMM has it, too, for a moment. */
function deviceProcesses(image: string): number[] {
  const isOne = (pid: string) => {
    try {
      const fds = `/proc/${pid}/fd`;
      if (readFileSync(`/proc/${pid}/comm`, 'utf8') !== 'block device\n') return false;
      return readdirSync(fds).some((fd) => readlinkSync(join(fds, fd)) === image);
    } catch {
      return false;
    }
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isOne(name))
    .map(Number);
}

/** A device gets guest memory when its driver starts it. */
function hasGuestMemory(pid: number): boolean {
  return readFileSync(`/proc/${pid}/maps`, 'utf8').includes('/memfd:crosvm_guest');
}

const numbers = Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join('');
const DIGEST = createHash('sha256').update(numbers).digest('hex');

for (const where of ['in processes', 'in spawned processes', 'in threads']) {
  const noSpawn = where.includes('spawned') && (missingProgram('unshare', 'setpriv') ?? false);
  test(`disks and entropy ${where}`, { skip: skip || noSpawn }, async (t) => {
    if (where.includes('spawned')) process.env['CROSVM_SPAWN_DEVICES'] = '1';
    t.after(() => delete process.env['CROSVM_SPAWN_DEVICES']);
    const [root, more] = [newImage('root'), newImage('more')];
    const words = where === 'in threads' ? ['--disable-sandbox'] : [];
    const { finished, outputs } = await runVirtioGuest(
      [...words, '--disk', `${more},id=second`, '--rwroot', `${root}${URING}`, '-p', 'rdinit=/init'],
      [
        'mount -t ext4 /dev/vdb /mnt && seq 1 100000 >/mnt/numbers && umount /mnt',
        'mount -t ext4 /dev/vdb /mnt && sha256sum </mnt/numbers && umount /mnt',
        'cat /proc/cmdline /sys/block/vda/ro /sys/block/vda/serial; echo',
        'head -c 64 /dev/hwrng | wc -c',
      ],
    );
    assert.deepEqual(
      outputs.map(({ status }) => status),
      [0, 0, 0, 0],
      finished.console.slice(-3000),
    );
    assert.ok(outputs[1]!.output.includes(DIGEST), outputs[1]!.output);
    assert.match(outputs[2]!.output, /console=ttyS0 root=\/dev\/vdb rw .*\n1\nsecond/);
    assert.equal(outputs[3]!.output, '64\n');
    assert.deepEqual([finished.status, finished.stderr], [0, '']);
    assert.equal(readExt4(root, '/numbers').toString(), numbers);
    checkExt4(root);
  });
}

for (const words of [`,packed-queue${URING}`, ',overlay=temp,packed-queue']) {
  test(`a disk${words} whose process is killed again and again loses nothing`, { skip }, async () => {
    const image = newImage(words.includes('overlay') ? 'killed-overlay' : 'killed');
    const before = readFileSync(image);
    let kills = 0;
    const isOver = new AbortController();
    const killer = (async () => {
      await until(() => deviceProcesses(image).length > 0, 'the device process');
      await until(() => deviceProcesses(image).some(hasGuestMemory), 'a device process whose driver has started it');
      await sleep(1000);
      while (kills < 3 && !isOver.signal.aborted) {
        await until(() => isOver.signal.aborted || deviceProcesses(image).length > 0, 'the next device process');
        for (const pid of deviceProcesses(image)) {
          process.kill(pid, 'SIGKILL');
          kills++;
        }
        await sleep(1000);
      }
    })();
    const { finished, outputs } = await runVirtioGuest(
      ['--rwdisk', `${image}${words}`],
      [
        `mount -t ext4 /dev/vda /mnt; for i in $(seq 1 12); do
        seq 1 100000 >/mnt/$i.new && sync && mv /mnt/$i.new /mnt/$((i % 8))
        echo 3 >/proc/sys/vm/drop_caches
        [ "$(sha256sum </mnt/$((i % 8)))" = '${DIGEST}  -' ] || exit 3
      done; umount /mnt`,
      ],
    );
    isOver.abort();
    await killer;
    assert.equal(outputs[0]?.status, 0, finished.console.slice(-3000));
    assert.equal(kills, 3, 'the guest was done too soon');
    const restarts = finished.stderr.match(/has ended \(killed by SIGKILL\) and is started again/g)?.length;
    assert.equal(restarts, kills, finished.stderr);
    if (words.includes('overlay')) assert.ok(readFileSync(image).equals(before));
    else checkExt4(image);
  });
}

test('qcow2 disks, and overlays that leave the image as it is', { skip: noQemuImg }, async () => {
  const [raw, base] = [newImage('plain'), newImage('base')];
  const [qcow2, over] = [join(folder, 'disk.qcow2'), join(folder, 'over.qcow2')];
  execFileSync(process.execPath, [CROSVM, 'image', 'convert', '--to', 'qcow2', raw, qcow2]);
  const before = [raw, base].map((path) => readFileSync(path));
  const disks = [`${qcow2},format=qcow2${URING}`, `${raw},overlay=temp`, `${base},overlay=${over}`];
  const { finished, outputs } = await runVirtioGuest(
    disks.flatMap((disk) => ['--rwdisk', disk]),
    ['a', 'b', 'c'].map(
      (letter) => `mount -t ext4 /dev/vd${letter} /mnt && seq 1 100000 >/mnt/numbers && umount /mnt &&
        echo 3 >/proc/sys/vm/drop_caches && mount -t ext4 /dev/vd${letter} /mnt && sha256sum </mnt/numbers; umount /mnt`,
    ),
  );
  assert.deepEqual([finished.status, finished.stderr], [0, '']);
  for (const { output } of outputs) assert.ok(output.includes(DIGEST), finished.console.slice(-3000));
  assert.equal(outputs.length, 3);
  assert.deepEqual(
    [raw, base].map((path, i) => readFileSync(path).equals(before[i]!)),
    [true, true],
  );
  for (const image of [qcow2, over]) {
    execFileSync('qemu-img', ['check', '-q', image]); // it fails for leaks, too
    const plain = `${image}.raw`;
    execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', image, plain]);
    assert.equal(readExt4(plain, '/numbers').toString(), numbers);
    checkExt4(plain);
  }
  // What was written is still there for the next VM, but for what was temporary.
  const again = await runVirtioGuest(
    disks.flatMap((disk) => ['-d', disk]),
    [
      `for d in a b c; do
        mount -t ext4 -o ro /dev/vd$d /mnt
        if [ -e /mnt/numbers ]; then sha256sum </mnt/numbers; else echo none; fi; umount /mnt
      done`,
    ],
  );
  const digests = again.outputs[0]!.output.match(/^(none|[0-9a-f]{64})/gm);
  assert.deepEqual(digests, [DIGEST, 'none', DIGEST]);
});

test('all devices work again for a driver that comes after another one', async () => {
  const image = join(folder, 'rebound');
  writeFileSync(image, Buffer.alloc(65536, 'first\n'));
  const shared = join(folder, 'shared');
  mkdirSync(shared);
  writeFileSync(join(shared, 'file'), 'what is shared\n');
  const output = join(folder, 'console');
  const network =
    noTap() === undefined ? ['--host_ip', '10.99.8.1', '--netmask', '255.255.255.0', '--mac', '02:00:00:00:00:08'] : [];
  const words = [
    ...['--rwdisk', image, '--init-mem', '224', ...network],
    ...['--serial', `hardware=virtio-console,num=1,type=file,path=${output}`],
    ...['--shared-dir', `${shared}:share:type=fs`, '--shared-dir', `${shared}:p9:type=p9`],
  ];
  const mounted = 'cat /mnt/file && umount /mnt';
  const use = [
    'head -n 1 /dev/vda; echo again | dd of=/dev/vda conv=fsync 2>/dev/null',
    'head -c 16 /dev/hwrng | wc -c; echo the console >/dev/hvc0',
    `mount -t virtiofs share /mnt && ${mounted}; mount -t 9p -o trans=virtio p9 /mnt && ${mounted}`,
    // It gives 32 MiB; and has to take them back in between.
    'b=; until [ "$a" = "$b" ] && [ "$a" ]; do b=$a; sleep 1; a=$(awk "/MemTotal/ {print \\$2}" /proc/meminfo); done; echo $a',
    ...(network.length > 0
      ? ['ifconfig eth0 10.99.8.2 netmask 255.255.255.0 up && ping -c 2 10.99.8.1 | grep received; ifconfig eth0 down']
      : []),
  ];
  const rebind = `cd /sys/bus/virtio/drivers; for one in */virtio*; do
    echo \${one#*/} >\${one%/*}/unbind && echo \${one#*/} >\${one%/*}/bind && echo \${one%/*}; done`;
  const extras: GuestExtras = { kernel: FULL_KERNEL, modules: ['fs', 'p9'] };
  const { finished, outputs } = await runVirtioGuest(words, [...use, rebind, ...use], extras);
  assert.deepEqual([finished.status, finished.stderr], [0, ''], finished.console.slice(-3000));
  const [before, rebound, again] = [outputs.slice(0, use.length), outputs[use.length]!, outputs.slice(use.length + 1)];
  assert.equal(
    rebound.output.match(/^[a-z0-9]+_[a-z]+$|^virtiofs$/gm)?.length,
    network.length > 0 ? 7 : 6,
    rebound.output,
  );
  assert.deepEqual([before[0]!.output, again[0]!.output], ['first\n', 'again\n']);
  assert.equal(before[1]!.output, '16\n');
  assert.equal(before[2]!.output, 'what is shared\nwhat is shared\n');
  for (const i of [1, 2, 3]) assert.equal(again[i]!.output, before[i]!.output, `after another driver: ${use[i]}`);
  if (network.length > 0) for (const { output } of [before[4]!, again[4]!]) assert.match(output, /2 packets received/);
  assert.equal(readFileSync(output, 'utf8').match(/the console/g)?.length, 2);
});

test('a network card on a TAP device that is made for it, and stays when the card is killed', async (t) => {
  if (process.getuid?.() !== 0 || !existsSync('/dev/net/tun')) return t.skip('TAP devices take root and /dev/net/tun');
  const taps = () => readdirSync('/sys/class/net').filter((name) => name.startsWith('crosvm'));
  const before = taps();
  const card = ['--host_ip', '10.99.7.1', '--netmask', '255.255.255.0', '--mac', '02:00:00:00:00:07'];
  const isOver = new AbortController();
  const packets = (tap: string) => Number(readFileSync(`/sys/class/net/${tap}/statistics/rx_packets`, 'utf8'));
  /** However long the guest takes to come so far; when it is over, there is nothing to wait for. */
  const reached = async (what: () => boolean) => {
    while (!isOver.signal.aborted && !what()) await sleep(50);
  };
  const killer = (async () => {
    const made = () => taps().find((name) => !before.includes(name));
    await reached(() => made() !== undefined);
    const tap = made()!;
    await reached(() => packets(tap) > 5);
    const index = readFileSync(`/sys/class/net/${tap}/ifindex`, 'utf8');
    const [pid] = devicesNamed('net device');
    process.kill(pid!, 'SIGKILL');
    await reached(() => devicesNamed('net device').some((other) => other !== pid));
    assert.equal(readFileSync(`/sys/class/net/${tap}/ifindex`, 'utf8'), index, 'the interface is the same');
  })();
  killer.catch(() => {}); // it is awaited when the guest is done
  const { outputs, finished } = await runVirtioGuest(card, [
    'cat /sys/class/net/eth0/address; ifconfig eth0 10.99.7.2 netmask 255.255.255.0 up; ping -c 3 10.99.7.1',
    'for i in $(seq 40); do ping -c 1 -W 1 10.99.7.1 >/dev/null; done; ping -c 3 -s 1400 10.99.7.1',
  ]).finally(() => isOver.abort());
  await killer;
  assert.match(outputs[0]!.output, /^02:00:00:00:00:07\n[\s\S]* 3 packets received, 0% packet loss/);
  assert.match(outputs[1]!.output, / 3 packets received/);
  assert.match(finished.stderr, /the network card has ended \(killed by SIGKILL\) and is started again/);
  assert.deepEqual(taps(), before);
});

test('no device outlives its VM, however that ends', { skip }, async () => {
  const image = newImage('outlived');
  const path = join(folder, 'rom');
  writeFileSync(path, rom(print('up\n'))); // then it waits for ever
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const vmm = spawn(process.execPath, [
      CROSVM,
      'run',
      '--hypervisor',
      'soft',
      '-m',
      '16',
      '-d',
      image,
      '--bios',
      path,
    ]);
    await new Promise((resolve) => vmm.stdout.once('data', resolve));
    assert.equal(deviceProcesses(image).length, 1);
    vmm.kill(signal);
    await new Promise((resolve) => vmm.once('exit', resolve));
    await until(() => deviceProcesses(image).length === 0, `the device is to end after ${signal}`);
  }
});

test('disks that cannot be are refused with one line, and nothing is left behind', { skip }, async () => {
  const image = newImage('refused');
  const path = join(folder, 'rom');
  writeFileSync(path, rom(print('up\n')));
  const run = (...words: string[]) =>
    finish(CROSVM, ['run', '--hypervisor', 'soft', '-m', '16', ...words, '--bios', path]);
  const [missing, other] = [join(folder, 'missing'), newImage('other')];
  const stranger = join(folder, 'stranger.qcow2');
  const backing = ['-o', `backing_file=${CROSVM},backing_fmt=raw`];
  execFileSync(process.execPath, [CROSVM, 'image', 'create', ...backing, stranger, '1M']);
  for (const [words, message] of [
    [['-d', missing], /^crosvm: run: the disk .*missing: .*(ENOENT|no such file).*\n$/],
    [['--disable-sandbox', '-d', missing], /^crosvm: run: the disk .*missing: .*(ENOENT|no such file).*\n$/],
    [['--rwdisk', image, '--rwdisk', image], /^crosvm: run: the disk .*refused: .*(in use|lock).*\n$/],
    [['-r', image, '--rwroot', image], /^crosvm: run: there is more than one root disk\n$/],
    [['-d', `${image},sparse=maybe`], /^crosvm: run: -d .*sparse.*\n/],
    [['-d', `${image},format=qcow2`], /^crosvm: run: the disk .*refused: .*qcow2.*\n$/],
    [['-d', `${image},allow=all`], /^crosvm: run: -d .*allow: "all" is not one of outside, .*\n/],
    [['--rwdisk', stranger], /^crosvm: run: the disk .* is outside of the image's folder.*\n$/],
    [['--rwdisk', `${image},overlay=${image}`], /^crosvm: run: the disk .*refused: .*in use.*\n$/],
    [['--rwdisk', `${image},overlay=${other}`], /^crosvm: run: the disk .*other: .*qcow2.*\n$/],
    [['-d', `${image},overlay=${missing}`], /^crosvm: run: the disk .*missing: .*no such file.*\n$/],
    [['--deterministic', '-d', image], /^crosvm: run: a deterministic VM has no virtio devices.*\n$/],
  ] as const) {
    const { status, stderr } = await run(...words);
    assert.match(stderr, message);
    assert.ok(status === 1 || status === 2, String(status));
  }
  await until(() => deviceProcesses(image).length === 0, 'no device is left');
  assert.ok(existsSync(image));
});
