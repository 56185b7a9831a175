/** Programs that people use, on shared folders in a guest and on the host: with the same results. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FULL_KERNEL, fetchKernel } from '../tools/guest-packages.ts';
import { CROSVM, type Finished, finish } from './linux-guest.ts';
import { differences } from './shared-folder/operations.ts';
import { installModules, makeRootFolder } from './shared-folder/root-folder.ts';

const PACKAGES = ['coreutils', 'findutils', 'diffutils', 'grep', 'tar', 'git', 'rsync', 'sqlite3', 'acl', 'attr'];
const SCRIPTS = ['real-use.sh', 'mapped-writers.pl', 'exercise.pl', 'races.pl', 'operations.pl'];
const SEED = process.env['CROSVM_TEST_FOLDER_SEED'] ?? '1';
/** How many times as much is done, and by how many vCPUs. */
const TIMES = Number(process.env['CROSVM_TEST_REAL_USE'] ?? 1);
const CPUS = process.env['CROSVM_TEST_CPUS'] ?? '1';

/** What is done, in the folders for virtio-fs and for 9P; that takes many more requests for each. */
const JOBS = {
  fs: [
    `bash /scripts/real-use.sh real-use ${3 * TIMES} archive mirror versions database`,
    `perl /scripts/exercise.pl exercise ${SEED} ${800 * TIMES}`,
    'perl /scripts/mapped-writers.pl mapped',
    `perl /scripts/races.pl races ${SEED} 4 ${150 * TIMES}`,
    // No operation: what is there, as the guest sees it.
    'perl /scripts/operations.pl races 1 0 1',
  ],
  p9: [
    `bash /scripts/real-use.sh real-use ${2 * TIMES} archive`,
    `perl /scripts/exercise.pl exercise ${SEED} ${150 * TIMES} punch zero allocate copy`,
  ],
} as const;
const KINDS = ['fs', 'p9'] as const;

const WORK = `
export PATH=/usr/bin:/bin LC_ALL=C
busybox mount -t proc proc /proc
busybox modprobe 9pnet_virtio && busybox modprobe 9p
busybox mount -t virtiofs fs /mnt/fs
busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap,posixacl p9 /mnt/p9
${KINDS.flatMap((kind) => JOBS[kind].map((job, i) => `(cd /mnt/${kind} && ${job}) >/results/${kind}-${i} 2>&1`)).join('\n')}
busybox umount /mnt/fs /mnt/p9
busybox poweroff -f
`;

const folder = mkdtempSync(join(tmpdir(), 'crosvm-real-use-'));
const root = join(folder, 'debian');
after(() => rmSync(folder, { recursive: true }));

async function prepare(): Promise<void> {
  await makeRootFolder(root, PACKAGES);
  await installModules(root, FULL_KERNEL, ['virtio', 'fs', 'p9']);
  const work = KINDS.flatMap((kind) => [`guest/${kind}`, `host/${kind}`]).flatMap((where) => [
    `${where}/real-use`,
    `${where}/races`,
  ]);
  for (const name of ['dev', 'proc', 'scripts', 'results', 'mnt/fs', 'mnt/p9', ...work]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  // For programs that run there on the host; the guest has its own.
  execFileSync('cp', ['-a', '/dev/null', '/dev/urandom', join(root, 'dev')]);
  for (const name of SCRIPTS) {
    copyFileSync(fileURLToPath(new URL(`./shared-folder/${name}`, import.meta.url)), join(root, 'scripts', name));
  }
  writeFileSync(join(root, 'work.sh'), WORK);
}

async function runGuest(): Promise<Finished> {
  const shares = [
    `${root}:mtdroot:type=fs:cache=always`,
    `${root}/guest/fs:fs:type=fs:queues=2`,
    `${root}/guest/p9:p9`,
  ];
  const options = ['--hypervisor', 'soft', '-m', '512', '-c', CPUS];
  const parameters = ['-p', 'quiet root=mtdroot rw init=/bin/bash -- /work.sh'];
  const words = [...options, ...shares.flatMap((share) => ['--shared-dir', share]), ...parameters];
  return finish(CROSVM, ['run', ...words, await fetchKernel(FULL_KERNEL)]);
}

/** What a command prints whose root is the folder, on the host. */
function onHost(where: string, command: string): string {
  const script = `export PATH=/usr/bin:/bin LC_ALL=C; cd ${where} && ${command}`;
  return execFileSync('chroot', [root, 'bash', '-c', script], { encoding: 'utf8', maxBuffer: 64 << 20 });
}

/** By content, links, owners, permissions, attributes and ACLs; not where there are times in the files. */
const COMPARE = 'rsync -rlpgoDHAXcni --delete --exclude=.git --exclude=tree.tar --exclude="database*" --exclude=/races';

const skip = process.geteuid!() === 0 ? false : 'to run the same programs on the host, chroot takes root';

test('programs in a guest make of shared folders what they make of those of the host', { skip }, async (t) => {
  await prepare();
  const start = performance.now();
  const { console, stderr, status } = await runGuest();
  t.diagnostic(`${((performance.now() - start) / 1000).toFixed(0)} s in the guest`);
  assert.equal(status, 0, console.slice(-2000) + stderr);
  const results = (name: string) => readFileSync(join(root, 'results', name), 'utf8');
  for (const kind of KINDS) {
    for (const [i, job] of JOBS[kind].entries()) {
      // Who wins a race is not to be foretold: what the guest sees is compared with what is there.
      const where = job.includes('operations.pl') ? 'guest' : 'host';
      assert.deepEqual(differences(results(`${kind}-${i}`), onHost(`/${where}/${kind}`, job)), [], `${kind}: ${job}`);
    }
    assert.equal(onHost('/', `${COMPARE} guest/${kind}/ host/${kind}/`), '', kind);
    const dumps = ['guest', 'host'].map((where) =>
      onHost(`/${where}/${kind}/real-use`, 'sqlite3 database .dump | sort'),
    );
    assert.equal(dumps[0], dumps[1]);
  }
});
