/**
 * A guest's work in a folder of the host, on the software CPU, beside QEMU under TCG, in turns: by virtio-fs beside Debian's
 * virtiofsd, by 9P beside QEMU's own server.
 *
 *     node bench/guest-fs.ts [fs] [p9] [--pairs N] [--json]
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL, FULL_KERNEL, fetchKernel, fetchModules } from '../tools/guest-packages.ts';
import { COMPARISON_HEADER, type Comparison, comparisonRow, meanSpeed, type Sample } from './comparison.ts';
import { type Contender, OURS, QEMU, qemuWithVirtiofsd } from './contenders.ts';
import type { GoalName } from './goals.ts';
import { GuestSession, type Timed } from './guest-session.ts';
import { machineLine, table } from './report.ts';
import { type Finding, finding, printResult } from './result.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { pairs: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } },
});
const PAIRS = Number(values.pairs);

interface Work {
  readonly goal: GoalName;
  readonly name: string;
  /** What comes first and is not timed. */
  readonly before?: string;
  /** `round` is another number each time. */
  command(round: number): string;
}

interface Part {
  readonly kernel: string;
  readonly theirs: Contender;
  readonly mount: string;
  /** How many parts of FILES_OF_A_PART files there are. */
  readonly parts: number;
  /** What of them is unpacked. */
  readonly packed: readonly string[];
  readonly works: readonly Work[];
}

type Kind = 'fs' | 'p9';
const FILES_OF_A_FOLDER = 500;
const FILES_OF_A_PART = 5000;
/** Of the file that is read, and of the one that is written. */
const MIB = 256;
/** So that the guest has to ask for all that it is about to see. */
const FORGET = 'sync; echo 3 >/proc/sys/vm/drop_caches';
/** The same for names and attributes alone. */
const FORGET_NAMES = 'echo 2 >/proc/sys/vm/drop_caches';
const folder = mkdtempSync(join('/var/tmp', 'crosvm-bench-'));

const PARTS: Readonly<Record<Kind, Part>> = {
  fs: {
    kernel: CLOUD_KERNEL,
    theirs: qemuWithVirtiofsd(join(folder, 'virtiofsd.sock')),
    mount: 'mount -t virtiofs share /mnt',
    parts: 10,
    packed: ['many/part 0', 'many/part 1'],
    works: [
      {
        goal: 'guest-fs-data',
        name: `reading ${MIB} MiB`,
        before: FORGET,
        command: () => 'dd if=/mnt/large of=/dev/null bs=1M',
      },
      {
        goal: 'guest-fs-data',
        name: `writing ${MIB} MiB, with fsync`,
        before: FORGET,
        command: (round) => `dd if=/dev/zero of=/mnt/written${round} bs=1M count=${MIB} conv=fsync`,
      },
      {
        goal: 'guest-fs-names',
        name: 'find with attributes, 50,000 files',
        before: FORGET,
        // virtiofsd keeps a descriptor for each that the guest knows, and many systems let it have 20,000.
        command: () => `for part in /mnt/many/*; do find "$part" -size +3k; ${FORGET_NAMES}; done | wc -l`,
      },
      {
        goal: 'guest-fs-names',
        name: 'unpacking 10,000 files',
        before: FORGET,
        command: (round) => `mkdir /mnt/new${round} && tar xf /mnt/packed.tar -C /mnt/new${round}`,
      },
    ],
  },
  p9: {
    kernel: FULL_KERNEL,
    theirs: QEMU,
    mount: 'mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 share /mnt',
    parts: 1,
    packed: ['many/part 0/folder 0'],
    works: [
      { goal: 'p9', name: 'find with attributes, 5,000 files', command: () => 'find /mnt/many -size +3k | wc -l' },
      { goal: 'p9', name: 'reading 5,000 small files', command: () => 'cat /mnt/many/*/*/* | wc -c' },
      {
        goal: 'p9',
        name: 'unpacking 500 files',
        command: (round) => `mkdir /mnt/new${round} && tar xf /mnt/packed.tar -C /mnt/new${round}`,
      },
      { goal: 'p9', name: `reading ${MIB} MiB`, command: () => 'dd if=/mnt/large of=/dev/null bs=1M' },
      {
        goal: 'p9',
        name: `writing ${MIB} MiB`,
        command: (round) => `dd if=/dev/zero of=/mnt/written${round} bs=1M count=${MIB}`,
      },
    ],
  },
};

/** The folder with all that the works need. */
function makeShare(path: string, { parts, packed }: Part): void {
  const folders = FILES_OF_A_PART / FILES_OF_A_FOLDER;
  for (let i = 0; i < parts * folders; i++) {
    const one = join(path, 'many', `part ${Math.floor(i / folders)}`, `folder ${i % folders}`);
    mkdirSync(one, { recursive: true });
    for (let j = 0; j < FILES_OF_A_FOLDER; j++) writeFileSync(join(one, `file ${j}`), Buffer.alloc((j % 10) * 500, 7));
  }
  execFileSync('tar', ['cf', 'packed.tar', ...packed], { cwd: path });
  writeFileSync(join(path, 'large'), Buffer.alloc(MIB << 20, 7));
}

async function boot(kind: Kind, contender: Contender): Promise<GuestSession> {
  const part = PARTS[kind];
  const path = join(folder, contender === OURS ? `${kind}-ours` : `${kind}-theirs`);
  makeShare(path, part);
  const paths = (await Promise.all((['virtio', kind] as const).map((set) => fetchModules(set, part.kernel)))).flat();
  const drivers = paths.map((module) => ({ name: basename(module), data: readFileSync(module) }));
  const initrd = await guestInitramfs({ kind: 'console-lines' }, drivers);
  const kernel = await fetchKernel(part.kernel);
  const guest = { kernel, initrd, params: ['cryptomgr.notests'], cpus: 1, memory: 512, share: { path, kind } };
  console.error(`${contender.name}: boot`);
  const session = await GuestSession.boot(contender, guest);
  for (const { name } of drivers) await ask(session, `insmod ${name}`);
  await ask(session, `mkdir -p /mnt; ${part.mount}`);
  return session;
}

async function ask(session: GuestSession, command: string): Promise<Timed> {
  const timed = await session.run(command);
  if (timed.status !== 0) throw new Error(`${session.contender.name}: ${command}: ${timed.output}`);
  return timed;
}

function sampleOf({ seconds, cpuSeconds }: Timed): Sample {
  return { seconds, cpuSeconds };
}

/** Throws if the guests do not print the same. */
async function compare({ name, before, command }: Work, our: GuestSession, their: GuestSession): Promise<Comparison> {
  const work = async (session: GuestSession, round: number) => {
    if (before !== undefined) await ask(session, before);
    return ask(session, command(round));
  };
  const samples = { ours: [] as Sample[], theirs: [] as Sample[] };
  for (let round = 0; round <= PAIRS; round++) {
    const ours = await work(our, round);
    const theirs = await work(their, round);
    if (ours.output !== theirs.output) {
      const [one, other] = [ours, theirs].map(({ output }) => JSON.stringify(output.slice(0, 200)));
      throw new Error(`${name}: ours prints ${one}, theirs ${other}`);
    }
    console.error(`${name}: ${round} of ${PAIRS}: ${ours.seconds.toFixed(2)} and ${theirs.seconds.toFixed(2)} s`);
    if (round === 0) continue; // to warm up
    samples.ours.push(sampleOf(ours));
    samples.theirs.push(sampleOf(theirs));
  }
  return { name, ...samples };
}

/** By the goal that they are for. */
async function comparePart(kind: Kind): Promise<Map<GoalName, Comparison[]>> {
  const { theirs: contender, works } = PARTS[kind];
  using ours = await boot(kind, OURS);
  using theirs = await boot(kind, contender);
  const compared = new Map<GoalName, Comparison[]>();
  for (const work of works) {
    compared.set(work.goal, [...(compared.get(work.goal) ?? []), await compare(work, ours, theirs)]);
  }
  return compared;
}

const isKind = (name: string): name is Kind => Object.hasOwn(PARTS, name);
if (!positionals.every(isKind)) throw new Error(`parts are ${Object.keys(PARTS).join(', ')}`);
const kinds: readonly Kind[] = positionals.length > 0 ? positionals.filter(isKind) : ['fs', 'p9'];
const machine = `${machineLine()}; pairs: ${PAIRS}`;
try {
  const findings: Finding[] = [];
  const comparisons: Comparison[] = [];
  for (const kind of kinds) {
    for (const [goal, some] of await comparePart(kind)) {
      findings.push(finding(goal, meanSpeed(some)));
      comparisons.push(...some);
    }
  }
  printResult({ machine, findings, comparisons }, values.json, [
    table(COMPARISON_HEADER('crosvm', 'QEMU'), comparisons.map(comparisonRow)),
  ]);
} finally {
  rmSync(folder, { recursive: true });
}
