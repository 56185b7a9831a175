/** Virtio devices of programs that we did not write. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchBusybox } from '../tools/guest-packages.ts';
import { CROSVM, finish } from './linux-guest.ts';
import { checkExt4, makeExt4, missingProgram, readExt4, runVirtioGuest } from './virtio-guest.ts';

const skip = missingProgram('qemu-storage-daemon', 'mke2fs', 'debugfs') ?? false;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-vhost-user-'));
const image = join(folder, 'image');
const socket = join(folder, 'socket');
const daemons = new Set<ChildProcess>();

after(() => {
  for (const daemon of daemons) daemon.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  if (skip === false) makeExt4(image, 32);
});

/** QEMU's block back end with `queues` queues; it ends with its front end. */
async function storageDaemon(queues = 1): Promise<ChildProcess> {
  rmSync(socket, { force: true });
  const file = `driver=file,node-name=file,filename=${image}`;
  const where = `addr.type=unix,addr.path=${socket}`;
  const disk = `type=vhost-user-blk,id=disk,node-name=file,writable=on,num-queues=${queues},${where}`;
  const daemon = spawn('qemu-storage-daemon', ['--blockdev', file, '--export', disk], { stdio: 'ignore' });
  daemons.add(daemon);
  while (!existsSync(socket)) await sleep(20);
  return daemon;
}

async function end(daemon: ChildProcess): Promise<void> {
  daemon.kill();
  await new Promise((resolve) => daemon.once('exit', resolve));
  daemons.delete(daemon);
}

const MOUNT = 'mount -t ext4 /dev/vda /mnt';
/** Eight million bytes that look random, and their digest. */
const PATTERN = 'seq 1 1100000 >/mnt/numbers; sha256sum </mnt/numbers';

test('a guest mounts, reads and writes an ext4 image behind qemu-storage-daemon', { skip }, async () => {
  const daemon = await storageDaemon();
  const { outputs } = await runVirtioGuest(
    ['--vhost-user-blk', socket],
    [
      `${MOUNT} && ${PATTERN} && umount /mnt`,
      `${MOUNT} && sha256sum </mnt/numbers && umount /mnt`,
      'grep -c virtio0-req /proc/interrupts; cat /sys/bus/pci/devices/0000:00:01.0/class',
    ],
  );
  await end(daemon);
  assert.deepEqual(
    outputs.map(({ status }) => status),
    [0, 0, 0],
  );
  const digest = /^[0-9a-f]{64}/m.exec(outputs[0]!.output)?.[0];
  assert.ok(digest !== undefined && outputs[1]!.output.includes(digest), outputs[1]!.output);
  assert.equal(outputs[2]!.output, '1\n0x018000\n');
  const numbers = readExt4(image, '/numbers').toString().split('\n');
  assert.deepEqual([numbers.length, numbers[0], numbers[1_099_999]], [1_100_001, '1', '1100000']);
  checkExt4(image);
});

test('without MSI-X, and again after the driver was unbound from device and function', { skip }, async () => {
  const daemon = await storageDaemon();
  const rebind = (driver: string, device: string) =>
    `cd /sys/bus/${driver}; echo ${device} >unbind; echo ${device} >bind; ${MOUNT} && cat /mnt/file && umount /mnt`;
  const { outputs } = await runVirtioGuest(
    ['--vhost-user-blk', socket, '-p', 'pci=nomsi'],
    [
      `${MOUNT} && echo hello >/mnt/file && umount /mnt`,
      rebind('virtio/drivers/virtio_blk', 'virtio0'),
      rebind('pci/drivers/virtio-pci', '0000:00:01.0'),
      'grep virtio0 /proc/interrupts',
    ],
  );
  await end(daemon);
  assert.deepEqual(
    outputs.map(({ status }) => status),
    [0, 0, 0, 0],
  );
  for (const { output } of outputs.slice(1, 3)) assert.match(output, /^hello$/m);
  assert.match(outputs[3]!.output, /IO-APIC +\d+-fasteoi/);
  checkExt4(image);
});

test('several queues on several vCPUs, at the PCI address that was asked for', { skip }, async () => {
  const daemon = await storageDaemon(2);
  const { outputs } = await runVirtioGuest(
    ['--vhost-user', `type=block,socket=${socket},pci-address=00:07.0,max-queue-size=64`, '-c', '2'],
    [
      `${MOUNT} && for cpu in 1 2; do taskset $cpu seq 1 200000 >/mnt/$cpu & done; wait; cmp /mnt/1 /mnt/2 && umount /mnt`,
      'ls /sys/block/vda/mq | wc -l; basename $(readlink -f /sys/block/vda/../../..)',
    ],
  );
  await end(daemon);
  assert.deepEqual(
    outputs.map(({ status }) => status),
    [0, 0],
  );
  assert.equal(outputs[1]!.output, '2\n0000:00:07.0\n');
  checkExt4(image);
});

test('pages that held code of one program hold that of another one, by the device alone', { skip }, async (t) => {
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  try {
    for (const architecture of ['amd64', 'i386'] as const) {
      copyFileSync(await fetchBusybox(architecture), join(programs, `busybox-${architecture}`));
    }
  } catch (error) {
    return t.skip(`there is no second program: ${(error as Error).message}`);
  }
  makeExt4(image, 32, { folder: programs });
  const daemon = await storageDaemon();
  const expected = createHash('sha256').update('1\n2\n3\n').digest('hex');
  // Linux must not zero the pages, which the CPU would see.
  const { outputs } = await runVirtioGuest(
    ['--vhost-user-blk', socket, '-m', '128', '-p', 'init_on_alloc=0'],
    [
      `${MOUNT}; for i in 1 2 3 4 5 6 7 8; do for b in /mnt/busybox-*; do
        echo 3 >/proc/sys/vm/drop_caches
        $b seq 3 | $b sha256sum | $b grep -q ${expected} || exit
      done; done`,
    ],
  );
  await end(daemon);
  assert.equal(outputs[0]!.status, 0, outputs[0]!.output);
});

/** What a guest writes to a disk when it has come so far. */
const READY = 'the driver is at work';

test('a back end that is killed takes only its device with it', { skip }, async () => {
  const daemon = await storageDaemon();
  // Another disk says that the first one has nothing to do: a request under way would wait for ever, and the guest with it.
  const mark = join(folder, 'mark');
  writeFileSync(mark, Buffer.alloc(4096));
  let isOver = false;
  const guest = runVirtioGuest(
    ['--rwdisk', mark, '--vhost-user-blk', socket],
    [
      `dmesg -n 1; for disk in vdb vda; do echo ${READY} | dd of=/dev/$disk conv=fsync; done`,
      'while [ $(($(cat /sys/block/vdb/device/status) & 64)) = 0 ]; do sleep 1; done',
      'echo alive',
    ],
  ).finally(() => {
    isOver = true;
  });
  while (!isOver && !readFileSync(mark).includes(READY)) await sleep(20);
  await end(daemon);
  const { finished, outputs } = await guest;
  assert.equal(
    outputs[2]?.output,
    'alive\n',
    `${finished.status} ${finished.stderr}\n${finished.console.slice(-3000)}`,
  );
  assert.ok(readFileSync(image).includes(READY));
  assert.match(finished.stderr, /warn: the block device at .* the back end has ended the connection/);
  assert.equal(finished.status, 0);
});

test('back ends that cannot be are refused with one line', { skip }, async () => {
  const missing = join(folder, 'missing');
  const run = (...words: string[]) => finish(CROSVM, ['run', '--hypervisor', 'soft', ...words, image]);
  assert.equal(
    (await run('--vhost-user-blk', missing)).stderr,
    `crosvm: run: the block device at ${missing}: cannot connect to ${missing}: there is no such socket\n`,
  );
  const device = (slot: string) => ['--vhost-user', `type=rng,socket=${missing},pci-address=${slot}`];
  assert.match((await run(...device('00:05.0'), ...device('5:0.1'))).stderr, /is not an address/);
  assert.match((await run(...device('00:05.0'), ...device('00:05.0'))).stderr, /two devices want .* 00:05\.0\n$/);
});
