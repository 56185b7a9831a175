/** What the control socket does to a running guest. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BOOT_TIMEOUT_MS, CROSVM, type Finished, finish } from './linux-guest.ts';
import { devicesNamed } from './named-devices.ts';
import { print, rom } from './rom.ts';
import { virtioGuestWords } from './virtio-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-control-'));
after(() => rmSync(folder, { recursive: true }));
const socket = join(folder, 'socket');
const disk = join(folder, 'disk');
const MIB = 1 << 20;

const crosvm = (...words: string[]): Promise<Finished> => finish(CROSVM, words);

/** Prints again and again what the guest sees of itself. */
const REPORT = `while :; do
  echo "disk=$(cat /sys/block/vda/size) qcow2=$(cat /sys/block/vdb/size) free=$(awk '/MemFree/ {print $2}' /proc/meminfo) ."
  echo "buttons=$(awk '{print $1}' /sys/firmware/acpi/interrupts/ff_pwr_btn) ."
  sleep 0.2
done`;

test('pause, power button, memory and disks of a running guest', async (t) => {
  writeFileSync(disk, '');
  truncateSync(disk, 8 * MIB);
  const image = join(folder, 'disk.qcow2');
  assert.equal((await crosvm('create_qcow2', image, String(8 * MIB))).status, 0);
  const own = ['--rwdisk', disk, '--rwdisk', image, '-s', socket, '--init-mem', '192'];
  const words = await virtioGuestWords(own, [REPORT], { modules: ['button'] });
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const vmm = spawn(process.execPath, [CROSVM, ...words], { stdio: [...stdio], timeout: BOOT_TIMEOUT_MS });
  let output = '';
  vmm.stdout!.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const ended = new Promise((resolve) => vmm.once('exit', resolve));
  /** Waits until the last match of a pattern is one that `accept` takes. */
  const seen = async (pattern: RegExp, accept: (match: string) => boolean): Promise<void> => {
    for (let i = 0; i < 1000; i++) {
      const last = [...output.matchAll(pattern)].at(-1)?.[1];
      if (last !== undefined && accept(last)) return;
      await sleep(50);
    }
    assert.fail(`${pattern} did not come; the console ends with\n${output.slice(-2000)}`);
  };
  const sectors = (disk: string, mib: number) =>
    seen(new RegExp(`${disk}=(\\d+) `, 'g'), (count) => count === String((mib * MIB) / 512));
  const balloonIs = async (bytes: number) => {
    for (let i = 0; ; i++) {
      const { console: json, stderr } = await crosvm('balloon_stats', socket);
      assert.equal(stderr, '');
      const { balloon_actual, stats } = JSON.parse(json).BalloonStats;
      assert.ok(stats.total_memory > 0 && stats.free_memory > 0, json);
      if (balloon_actual === bytes || i === 30) return assert.equal(balloon_actual, bytes);
    }
  };
  try {
    await sectors('disk', 8);
    await t.test('suspend and resume', async () => {
      assert.equal((await crosvm('suspend', socket)).status, 0);
      await sleep(100);
      const before = output.length;
      await sleep(1000);
      assert.equal(output.length, before);
      assert.equal((await crosvm('resume', socket)).status, 0);
      for (let i = 0; i < 200 && output.length === before; i++) await sleep(50);
      assert.ok(output.length > before);
    });
    await t.test('powerbtn', async () => {
      assert.equal((await crosvm('powerbtn', socket)).status, 0);
      await seen(/buttons=(\d+) /g, (count) => count === '1');
    });
    await t.test('disk resize', async () => {
      assert.equal((await crosvm('disk', 'resize', '0', String(16 * MIB), socket)).status, 0);
      await sectors('disk', 16);
      assert.equal(statSync(disk).size, 16 * MIB);
      assert.match((await crosvm('disk', 'resize', '2', '512', socket)).stderr, /refused: there is no disk 2\n$/);
      assert.match((await crosvm('disk', 'resize', '0', '7', socket)).stderr, /refused: a disk has whole sectors/);
    });
    await t.test('disk resize of a qcow2 image', async () => {
      const sizeOf = async () => JSON.parse((await crosvm('image', 'info', '--json', image)).console).virtualSize;
      for (const mib of [2048, 4]) {
        assert.equal((await crosvm('disk', 'resize', '1', String(mib * MIB), socket)).status, 0);
        await sectors('qcow2', mib);
        assert.equal(await sizeOf(), mib * MIB);
      }
      const { stderr } = await crosvm('disk', 'resize', '1', String(2 ** 52), socket);
      assert.match(stderr, /refused: the disk .*disk.qcow2: .* bytes are too many for this cluster size\n$/);
      await sectors('qcow2', 4);
    });
    await t.test('balloon and balloon_stats', async () => {
      await balloonIs(64 * MIB);
      assert.equal((await crosvm('balloon', String(32 * MIB), socket)).status, 0);
      await balloonIs(32 * MIB);
    });
    await t.test('a balloon whose process is killed goes on as it was', async () => {
      const [pid] = devicesNamed('balloon device');
      process.kill(pid!, 'SIGKILL');
      let answer = await crosvm('balloon_stats', socket);
      // Until the next one is there and has heard of the guest.
      for (let i = 0; i < 100 && answer.stderr !== ''; i++) answer = await crosvm('balloon_stats', socket);
      assert.notEqual(devicesNamed('balloon device')[0], pid);
      assert.equal(JSON.parse(answer.console).BalloonStats.balloon_actual, 32 * MIB);
      assert.equal((await crosvm('balloon', String(16 * MIB), socket)).status, 0);
      await balloonIs(16 * MIB);
    });
    assert.equal((await crosvm('stop', socket)).status, 0);
    assert.equal(await ended, 0);
  } finally {
    vmm.kill('SIGKILL');
  }
});

test('a VM without what is asked for says so, and one that is paused can be stopped', async () => {
  const firmware = join(folder, 'rom');
  writeFileSync(firmware, rom(print('up')));
  const words = [
    'run',
    '--hypervisor',
    'soft',
    '-m',
    '16',
    '--no-balloon',
    '--no-rng',
    '-s',
    socket,
    '--bios',
    firmware,
  ];
  const vmm = spawn(process.execPath, [CROSVM, ...words]);
  const ended = new Promise((resolve) => vmm.once('exit', resolve));
  await new Promise((resolve) => vmm.stdout.once('data', resolve));
  try {
    assert.match((await crosvm('balloon', '1', socket)).stderr, /refused: the VM has no memory balloon\n$/);
    assert.match((await crosvm('balloon_stats', socket)).stderr, /refused: the VM has no memory balloon\n$/);
    assert.match((await crosvm('disk', 'resize', '0', '1', socket)).stderr, /refused: there is no disk 0\n$/);
    assert.equal((await crosvm('balloon', 'many', socket)).status, 2);
    assert.equal((await crosvm('suspend', socket)).status, 0);
    assert.equal((await crosvm('stop', socket)).status, 0);
    assert.equal(await ended, 0);
  } finally {
    vmm.kill('SIGKILL');
  }
});
