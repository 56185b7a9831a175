/** Folders of the host that guests use by 9P, with Linux's client and each way that it can cache. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FULL_KERNEL } from '../tools/guest-packages.ts';
import { fetchProgram } from '../tools/guest-program.ts';
import type { GuestFile } from '../tools/initramfs.ts';
import { DeviceProcess } from './qemu-guest.ts';
import { differences, MAY_CHOWN, operationsOnHost, operationWords } from './shared-folder/operations.ts';
import { missingProgram, runVirtioGuest } from './virtio-guest.ts';

const skip = missingProgram('perl', 'readelf') ?? false;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-9p-'));
after(() => rmSync(folder, { recursive: true }));

const local = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** What the protocol has not. */
const LEFT_OUT = ['rename2', 'unnamed', 'fallocate'];

/** How the guest's kernel caches, and how many operations it does then: without a cache, each takes many requests. */
const CACHES = { none: 100, mmap: 300, loose: 300 } as const;

function script(path: string): GuestFile {
  return { name: basename(path), data: readFileSync(local(path)) };
}

function mount(tag: string, where: string, cache: string): string {
  return `mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=${cache} ${tag} ${where}`;
}

test('a guest uses a folder that is shared by 9P as it would use its own', { skip }, async () => {
  const share = join(folder, 'share');
  for (const name of ['tree', ...Object.keys(CACHES)]) mkdirSync(join(share, name), { recursive: true });
  writeFileSync(join(folder, 'secret'), 'secret');
  symlinkSync('../secret', join(share, 'out'));
  const [perl, sqlite] = await Promise.all([fetchProgram('perl', 'amd64', 'perl-base'), fetchProgram('sqlite3')]);
  const shared = new Set(perl.files.map(({ name }) => name));
  const scripts = ['./shared-folder/operations.pl', './p9/locks.pl', './p9/mapped-writer.pl'].map(script);
  const files = [...perl.files, ...sqlite.files.filter(({ name }) => !shared.has(name)), ...scripts];
  const sequences = Object.entries(CACHES).map(([cache, steps]) => {
    const words = operationWords(`/mnt/${cache}`, steps, LEFT_OUT).join(' ');
    return `${mount('share', '/mnt', cache)} && ${perl.command} operations.pl ${words} && umount /mnt`;
  });
  const again = await DeviceProcess.start(join(folder, 'again'), ['p9', '--shared-dir', share, '--tag', 'again']);
  const { finished, outputs } = await runVirtioGuest(
    [
      ...['--shared-dir', `${share}:share`, '--shared-dir', `${share}:other:type=p9:ro`],
      ...['--vhost-user', `type=9p,socket=${again.socket}`],
    ],
    [
      'dmesg -n 1', // messages of the kernel would stand in the middle of what is compared
      ...sequences,
      `mkdir /again /other; ${mount('share', '/mnt', 'mmap')}; ${mount('again', '/again', 'none')}; ${mount('other', '/other', 'none')}`,
      `${perl.command} locks.pl /mnt/lock /again/lock`,
      `${perl.command} mapped-writer.pl /mnt/mapped; sha256sum </again/mapped`,
      `${sqlite.command} /mnt/db "pragma journal_mode=wal; create table t(n); insert into t select value from generate_series(1, 500); select sum(n) from t;"`,
      'tar cf /mnt/bin.tar -C / bin && tar xf /mnt/bin.tar -C /mnt/tree && sha256sum /bin/busybox /mnt/tree/bin/busybox | cut -c1-64 | uniq | wc -l',
      `${perl.command} -e '$) = "1001 1001"; $> = 1000; mkdir "/mnt/of-1000" or print "no: $!\\n"; $> = 0; chown 1000, 1001, "/mnt/tree"; $> = 1000; open F, ">", "/mnt/tree/file" or print "no: $!\\n"'`,
      'cat /mnt/out /mnt/../secret 2>&1; cat /other/lock; touch /other/x 2>&1; umount /mnt /again /other',
    ],
    { kernel: FULL_KERNEL, modules: ['p9'], files },
  );
  assert.deepEqual(await again.end(), { status: 0, stderr: '' });
  for (const [i, [cache, steps]] of Object.entries(CACHES).entries()) {
    mkdirSync(join(folder, cache));
    const host = operationsOnHost(join(folder, cache), steps, LEFT_OUT);
    assert.deepEqual(differences(outputs[1 + i]!.output, host), [], `cache=${cache}`);
  }
  const [, locks, mapped, database, tar, users, outside] = outputs.slice(1 + sequences.length);
  assert.equal(locks?.output, 'before it\nrefused\nfirst\nsecond\n', finished.console.slice(-2000));
  assert.equal(mapped?.output.split(' ')[0], sha256(expectedMapping()));
  assert.deepEqual(readFileSync(join(share, 'mapped')), expectedMapping());
  assert.equal(database?.output, 'wal\n125250\n');
  assert.equal(tar?.output, '1\n');
  assert.match(
    outside!.output,
    /^cat: can't open '\/mnt\/out': No such file.*\ncat: can't open '\/mnt\/..\/secret': No such file.*\n.*Read-only file system\n$/,
  );
  assert.deepEqual([finished.status, finished.stderr], [0, '']);
  if (MAY_CHOWN) {
    assert.equal(users?.output, 'no: Permission denied\n', 'a user of the guest is no more than that');
    const { uid, gid } = lstatSync(join(share, 'tree', 'file'));
    assert.deepEqual([uid, gid], [1000, 1001]);
  }
});

function expectedMapping(): Buffer {
  const pages = Array.from({ length: 16 }, (_, i) => Buffer.alloc(4096).fill(0x41 + i, 0, 4000));
  return Buffer.concat(pages);
}

function sha256(bytes: Buffer): string {
  return execFileSync('sha256sum', { input: bytes, encoding: 'utf8' }).split(' ')[0]!;
}
