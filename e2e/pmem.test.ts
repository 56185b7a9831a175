/** Files that are memory of a Linux guest: it reads, writes and runs them, and they hold what it wrote. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { GuestFile } from '../tools/initramfs.ts';
import { CROSVM, finish } from './linux-guest.ts';
import { print, rom } from './rom.ts';
import { checkExt4, makeExt4, missingProgram, readExt4, runVirtioGuest } from './virtio-guest.ts';

const skip = missingProgram('mke2fs', 'debugfs') ?? false;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-pmem-'));
after(() => rmSync(folder, { recursive: true }));

const numbers = Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join('');

/** e2e/direct-io.c as a program for a guest, if it can be compiled here. */
function directIo(): GuestFile | undefined {
  const [source, program] = [fileURLToPath(new URL('./direct-io.c', import.meta.url)), join(folder, 'direct-io')];
  const { status } = spawnSync('gcc', ['-static', '-O1', '-o', program, source]);
  return status === 0 ? { name: 'direct-io', data: readFileSync(program), executable: true } : undefined;
}

test('a file system in persistent memory, without a copy of it in the guest', { skip }, async (t) => {
  const [image, fixed, disk] = ['image', 'fixed', 'disk'].map((name) => join(folder, name)) as [string, string, string];
  makeExt4(image, 24, { blockSize: 4096 });
  const content = new Uint8Array(3_000_000).map((_, i) => i >> 12);
  writeFileSync(fixed, content);
  writeFileSync(disk, new Uint8Array(1 << 20).fill(42, 0, 1 << 15));
  const program = directIo();
  if (program === undefined) t.diagnostic('no direct I/O from and to persistent memory: gcc -static is missing');
  const { finished, outputs } = await runVirtioGuest(
    ['--pmem', `${image},root`, '--pmem-device', fixed, '--rwdisk', disk, '-p', 'rdinit=/init'],
    [
      'mount -t ext4 -o dax /dev/pmem0 /mnt && seq 1 100000 >/mnt/numbers && cp /bin/busybox /mnt && sync && echo well',
      'echo 3 >/proc/sys/vm/drop_caches; /mnt/busybox wc -c </mnt/numbers; grep -c " /mnt ext4 .*dax" /proc/mounts; umount /mnt',
      'cat /proc/cmdline /sys/block/pmem0/size /sys/block/pmem1/size',
      'mount -t ext4 -o dax /dev/pmem0 /mnt; ./direct-io /mnt/direct /dev/vda; umount /mnt',
      // Nobody tells the guest that it may not write; it does no harm.
      'head -c 1000000 /dev/zero >/dev/pmem1; sync; echo 3 >/proc/sys/vm/drop_caches; tail -c +4096001 /dev/pmem1 | wc -c; head -c 3000000 /dev/pmem1 | sha256sum',
    ],
    { modules: ['pmem'], files: program === undefined ? [] : [program] },
  );
  const console = finished.console.slice(-3000);
  assert.match(outputs[0]!.output, /^well$/m, console);
  assert.match(outputs[1]!.output, new RegExp(`^${numbers.length}\\n1$`, 'm'), console);
  // In sectors: whole units of 2 MiB.
  assert.match(outputs[2]!.output, /root=\/dev\/pmem0 rw .*\n49152\n8192\n/, console);
  const digest = createHash('sha256').update(content).digest('hex');
  assert.match(outputs[4]!.output, new RegExp(`^98304\\n${digest} `, 'm'), console);
  assert.deepEqual([finished.status, finished.stderr], [0, '']);
  assert.equal(readExt4(image, '/numbers').toString(), numbers);
  checkExt4(image);
  if (program !== undefined) {
    assert.ok(
      readExt4(image, '/direct')
        .subarray(0, 1 << 15)
        .every((byte) => byte === 42),
    );
    assert.ok(
      readFileSync(disk)
        .subarray(0, 1 << 16)
        .every((byte) => byte === 42),
    );
  }
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
