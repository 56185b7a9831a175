/** Files that are memory of a Linux guest: it reads, writes and runs them, and they hold what it wrote. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CROSVM, finish } from './linux-guest.ts';
import { print, rom } from './rom.ts';
import { checkExt4, makeExt4, missingProgram, readExt4, runVirtioGuest } from './virtio-guest.ts';

const skip = missingProgram('mke2fs', 'debugfs') ?? false;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-pmem-'));
after(() => rmSync(folder, { recursive: true }));

const numbers = Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join('');

test('a file system in persistent memory, without a copy of it in the guest', { skip }, async () => {
  const [image, fixed] = [join(folder, 'image'), join(folder, 'fixed')];
  makeExt4(image, 24, { blockSize: 4096 });
  const content = new Uint8Array(3_000_000).map((_, i) => i >> 12);
  writeFileSync(fixed, content);
  const { finished, outputs } = await runVirtioGuest(
    ['--pmem', `${image},root`, '--pmem-device', fixed, '-p', 'rdinit=/init'],
    [
      'mount -t ext4 -o dax /dev/pmem0 /mnt && seq 1 100000 >/mnt/numbers && cp /bin/busybox /mnt && sync && echo well',
      'echo 3 >/proc/sys/vm/drop_caches; /mnt/busybox wc -c </mnt/numbers; grep -c " /mnt ext4 .*dax" /proc/mounts; umount /mnt',
      'cat /proc/cmdline /sys/block/pmem0/size /sys/block/pmem1/size',
      // Nobody tells the guest that it may not write; it does no harm.
      'head -c 1000000 /dev/zero >/dev/pmem1; sync; echo 3 >/proc/sys/vm/drop_caches; tail -c +4096001 /dev/pmem1 | wc -c; head -c 3000000 /dev/pmem1 | sha256sum',
    ],
    { modules: ['pmem'] },
  );
  const console = finished.console.slice(-3000);
  assert.match(outputs[0]!.output, /^well$/m, console);
  assert.match(outputs[1]!.output, new RegExp(`^${numbers.length}\\n1$`, 'm'), console);
  // In sectors: whole units of 2 MiB.
  assert.match(outputs[2]!.output, /root=\/dev\/pmem0 rw .*\n49152\n8192\n/, console);
  const digest = createHash('sha256').update(content).digest('hex');
  assert.match(outputs[3]!.output, new RegExp(`^98304\\n${digest} `, 'm'), console);
  assert.deepEqual([finished.status, finished.stderr], [0, '']);
  assert.equal(readExt4(image, '/numbers').toString(), numbers);
  checkExt4(image);
  assert.ok(readFileSync(fixed).equals(content));
});

test('files that cannot be memory are refused with one line', async () => {
  const bios = join(folder, 'rom');
  writeFileSync(bios, rom(print('up\n')));
  const [empty, large] = [join(folder, 'empty'), join(folder, 'large')];
  for (const path of [empty, large]) writeFileSync(path, '');
  truncateSync(large, 4 * 2 ** 30);
  const run = (...words: string[]) =>
    finish(CROSVM, ['run', '--hypervisor', 'soft', '-m', '16', ...words, '--bios', bios]);
  for (const [words, message] of [
    [['--pmem-device', empty], /^crosvm: run: .*empty: an empty file cannot be memory of a guest\n$/],
    [
      ['--rw-pmem-device', large],
      /^crosvm: run: 17 MiB of memory and 4096 MiB for mapped files are more than .*: at most 40\d\d MiB together\n$/,
    ],
    [['--pmem', join(folder, 'missing')], /^crosvm: .*missing: .*\n$/],
    [['--pmem', folder], /^crosvm: .*: .*\n$/],
    [['--rw-pmem-device', bios, '--pmem-device', bios], /^crosvm: .*rom: the file is in use by another process\n$/],
  ] as const) {
    const { status, stderr } = await run(...words);
    assert.match(stderr, message);
    assert.equal(status, 1);
  }
});
