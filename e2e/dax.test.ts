/** A shared folder whose files are memory of the guest: DAX, by virtio-fs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from './until.ts';
import { runVirtioGuest } from './virtio-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-dax-'));
after(() => rmSync(folder, { recursive: true }));

/** Larger than the window, so that pieces have to make way for others. */
const LARGE = 12 << 20;
const WINDOW_MIB = 4;

test('a guest reads, writes and runs files of the host as memory', async () => {
  const large = new Uint8Array(LARGE).map((_, i) => (i * 7 + (i >> 12)) & 0xff);
  const file = (name: string) => join(folder, name);
  writeFileSync(file('large'), large);
  writeFileSync(file('changing'), 'before');
  writeFileSync(file('written'), new Uint8Array(8192).fill(0x2e));
  const changed = (async () => {
    await until(() => existsSync(file('ready')), 'the guest');
    writeSync(openSync(file('changing'), 'r+'), 'after ');
    writeFileSync(file('changed'), '');
  })();
  const { finished, outputs } = await runVirtioGuest(
    // The guest may remember everything; but of these files it keeps nothing.
    ['--shared-dir', `${folder}:share:type=fs:cache=always:negative_timeout=0:dax=true:dax_window=${WINDOW_MIB}`],
    [
      'dmesg -n 1; mount -t virtiofs -o dax share /mnt && grep -c " /mnt virtiofs .*dax" /proc/mounts; dmesg | grep -c "virtiofs .* Cache len: 0x400000"',
      'sha256sum </mnt/large; cmp /mnt/large /mnt/large && echo same',
      'cat /mnt/changing; echo; touch /mnt/ready; while [ ! -e /mnt/changed ]; do sleep 0.2; done; cat /mnt/changing; echo',
      'printf here | dd of=/mnt/written bs=1 seek=4094 conv=notrunc 2>/dev/null; tail -c 4100 /mnt/written | head -c 10; echo',
      'cp /bin/busybox /mnt/busybox && /mnt/busybox echo runs; seq 1 100000 >/mnt/numbers; seq 100001 200000 >>/mnt/numbers; truncate -s 100 /mnt/written; wc -c </mnt/written; sync',
      'umount /mnt; echo $?',
    ],
    { modules: ['fs'] },
  );
  await changed;
  const all = outputs.map(({ output }) => output);
  const digest = createHash('sha256').update(large).digest('hex');
  const console = finished.console.slice(-3000);
  assert.deepEqual(
    all,
    ['1\n1\n', `${digest}  -\nsame\n`, 'before\nafter \n', '..here....\n', 'runs\n100\n', '0\n'],
    console,
  );
  assert.deepEqual([finished.status, finished.stderr], [0, '']);
  assert.equal(readFileSync(file('written')).length, 100);
  const numbers = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join('');
  assert.equal(readFileSync(file('numbers'), 'utf8'), numbers);
});
