/** Folders of the host that guests use by virtio-fs. */
import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchProgram } from '../tools/guest-program.ts';
import type { GuestFile } from '../tools/initramfs.ts';
import { differences, MAY_CHOWN, OPERATIONS, operationsOnHost, operationWords } from './shared-folder/operations.ts';
import { missingProgram, runVirtioGuest } from './virtio-guest.ts';

const skip = missingProgram('perl', 'readelf') ?? false;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-shared-'));
after(() => rmSync(folder, { recursive: true }));

const STEPS = Number(process.env['CROSVM_TEST_FOLDER_STEPS'] ?? 1500);

/** Then root of the host is nobody that the guest knows. */
const MAPS = MAY_CHOWN ? ':uidmap=0 100000 65536:gidmap=0 100000 65536' : '';

function newFolder(name: string): string {
  mkdirSync(join(folder, name));
  return join(folder, name);
}

const LOCKS = `
  sysopen(my $f, '/mnt/lock', 0102) or die;
  my $lock = sub { fcntl($f, $_[0], pack('s s x4 q q l x4', $_[1], 0, 0, 0, 0)) };
  pipe(my $r, my $w);
  if (!fork) { $lock->(6, 1) or die; syswrite $w, 'x'; sleep 1; print "first\\n"; exit }
  sysread $r, my $x, 1;
  print $lock->(6, 1) ? "got it\\n" : "refused\\n";
  $| = 1;
  $lock->(7, 1) or die;
  print "second\\n";
  wait;
`;

test('a guest uses a shared folder as it would use its own', { skip }, async () => {
  const share = newFolder('share');
  const readOnly = newFolder('read-only');
  writeFileSync(join(readOnly, 'file'), 'for reading');
  for (const name of ['operations', 'tree']) mkdirSync(join(share, name));
  writeFileSync(join(share, 'changing'), 'before');
  writeFileSync(join(folder, 'secret'), 'secret');
  symlinkSync('../secret', join(share, 'out'));
  const [perl, sqlite] = await Promise.all([fetchProgram('perl', 'amd64', 'perl-base'), fetchProgram('sqlite3')]);
  const script = { name: 'operations.pl', data: readFileSync(OPERATIONS) };
  const locks = { name: 'locks.pl', data: Buffer.from(LOCKS) };
  const files = [...perl.files, ...onlyNew(sqlite.files, perl.files), script, locks];
  const isOver = new AbortController();
  const changed = changeOnceReady(share, isOver.signal);
  const { finished, outputs } = await runVirtioGuest(
    [
      '--shared-dir',
      `${share}:share:type=fs:timeout=0.1`,
      '--shared-dir',
      `${readOnly}:other:type=fs:ro:cache=always${MAPS}`,
    ],
    [
      'dmesg -n 1; mount -t virtiofs share /mnt && mkdir /other && mount -t virtiofs other /other',
      `${perl.command} operations.pl ${operationWords('/mnt/operations', STEPS).join(' ')} >/mnt/results`,
      'tar cf /mnt/bin.tar -C / bin && tar xf /mnt/bin.tar -C /mnt/tree && sha256sum /bin/busybox /mnt/tree/bin/busybox | cut -c1-64 | uniq | wc -l; ls /mnt/tree/bin | wc -l',
      `${sqlite.command} /mnt/db "pragma journal_mode=wal; create table t(n); insert into t select value from generate_series(1, 2000); select sum(n) from t;"`,
      'cat /mnt/changing; echo; touch /mnt/ready; for i in $(seq 100); do [ -e /mnt/changed ] && break; sleep 0.2; done; cat /mnt/changing; echo',
      `${perl.command} locks.pl`,
      `${perl.command} -e '$) = "1001 1001"; $> = 1000; mkdir "/mnt/of-1000" or print "no: $!\\n"; $> = 0; chown 1000, 1001, "/mnt/tree"; $> = 1000; open F, ">", "/mnt/tree/file" or print "no: $!\\n"'`,
      'stat -c %u:%g /other/file; cat /other/file; touch /other/x 2>&1; echo x >>/other/file; cat /mnt/out 2>&1; ls /mnt/..  >/dev/null; dd if=/dev/zero of=/mnt/sparse bs=1 count=1 seek=1G 2>/dev/null; du -k /mnt/sparse | cut -f1',
      'umount /mnt /other',
    ],
    { modules: ['fs'], files },
  );
  isOver.abort();
  await changed;
  const all = outputs.map(({ output, status }) => `${status} ${output}`);
  assert.equal(all[0], '0 ', finished.console.slice(-2000));
  assert.deepEqual(
    differences(readFileSync(join(share, 'results'), 'utf8'), operationsOnHost(newFolder('host'), STEPS)),
    [],
  );
  const tools = readdirSync(join(share, 'tree', 'bin')).length;
  assert.equal(all[2], `0 1\n${tools}\n`);
  assert.equal(all[3], '0 wal\n2001000\n');
  assert.equal(all[4], '0 before\nafter\n');
  assert.equal(all[5], '0 refused\nfirst\nsecond\n');
  assert.match(
    all[7]!,
    /^0 (65534:65534|0:0)\nfor reading.*Read-only file system\n.*cat: can't open '\/mnt\/out': No such file or directory\n\d+\n$/s,
  );
  assert.ok(Number(outputs[7]!.output.trim().split('\n').at(-1)) < 100, 'holes take no space');
  assert.deepEqual([all[8], finished.status, finished.stderr], ['0 ', 0, '']);
  await checkDatabase(join(share, 'db'));
  assert.equal(readFileSync(join(readOnly, 'file'), 'utf8'), 'for reading');
  if (MAY_CHOWN) {
    assert.match(all[7]!, /^0 65534:65534/);
    assert.match(all[6]!, /^0 no: Permission denied\n$/, 'a user of the guest is no more than that');
    const { uid, gid } = lstatSync(join(share, 'tree', 'file'));
    assert.deepEqual([uid, gid], [1000, 1001]);
  }
});

function onlyNew(files: readonly GuestFile[], others: readonly GuestFile[]): GuestFile[] {
  return files.filter(({ name }) => !others.some((other) => other.name === name));
}

/** Changes a file when the guest has seen it; until the guest has ended. */
async function changeOnceReady(share: string, isOver: AbortSignal): Promise<void> {
  while (!existsSync(join(share, 'ready'))) {
    if (isOver.aborted) return;
    await sleep(50);
  }
  if (MAY_CHOWN) checkJail(share);
  writeFileSync(join(share, 'changing'), 'after');
  writeFileSync(join(share, 'changed'), '');
}

/** The device's process: its root is the share, where nothing is executed, and it has capabilities on files only. */
function checkJail(share: string): void {
  const pid = readdirSync('/proc').find(
    (name) => existsSync(`/proc/${name}/root/ready`) && !existsSync(`/proc/${name}/root/proc`),
  );
  assert.ok(pid !== undefined, 'a process has the share as its root');
  const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8');
  assert.equal(read('comm'), 'fs device\n');
  assert.deepEqual(readdirSync(`/proc/${pid}/root/..`), readdirSync(share));
  assert.match(read('mountinfo'), /^\S+ \S+ \S+ \S+ \/ rw,nosuid,nodev,noexec/);
  assert.equal(read('mountinfo').split('\n').length, 2, 'nothing else is mounted');
  assert.match(read('status'), /^CapEff:\t00000000880001df$/m);
  assert.match(read('status'), /^Seccomp:\t2$/m);
}

async function checkDatabase(path: string): Promise<void> {
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path);
  assert.deepEqual({ ...database.prepare('pragma integrity_check').get() }, { integrity_check: 'ok' });
  assert.deepEqual({ ...database.prepare('select count(*) as n from t').get() }, { n: 2000 });
  database.close();
}
