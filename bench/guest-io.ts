/**
 * Disks and network cards of a guest, beside QEMU: `node bench/guest-io.ts [disk] [user] [tap] [--pairs N] [--json]`. One
 * guest of each contender stays up; they take turns. What is done is counted, not timed by the guest: the time is that of
 * much work less that of the same command with hardly any. TAP devices take root; they are made and removed. Pings without
 * privileges take a permission of the host's: as root all is measured in a network namespace that has it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL, fetchKernel, fetchModules } from '../tools/guest-packages.ts';
import { fetchProgram } from '../tools/guest-program.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { COMPARISON_HEADER, type Comparison, comparisonRow, meanSpeed, type Sample } from './comparison.ts';
import { type Contender, type LinuxGuest, type Network, OURS, QEMU } from './contenders.ts';
import type { GoalName } from './goals.ts';
import { GuestSession } from './guest-session.ts';
import { canPing, PING_ADDRESS, runWhereItCanPing } from './ping-namespace.ts';
import { machineLine, table } from './report.ts';
import { type Finding, finding, printResult } from './result.ts';

interface Work {
  readonly goal: GoalName;
  readonly name: string;
  /** The command that does `amount` of it. */
  command(amount: number): string;
  /** Of requests, or MiB. */
  readonly much: number;
}

/** The amount whose time is taken off. */
const HARDLY_ANY = 1;

const PARTS = ['disk', 'user', 'tap'] as const;
type Part = (typeof PARTS)[number];
const isPart = (name: string): name is Part => PARTS.some((part) => part === name);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { pairs: { type: 'string', default: '5' }, json: { type: 'boolean', default: false } },
});
const pairs = Number(values.pairs);
if (!positionals.every(isPart)) throw new Error(`parts are ${PARTS.join(', ')}`);
const parts: readonly Part[] = positionals.length > 0 ? positionals.filter(isPart) : PARTS;

const DISK_SIZE = 256 << 20;
const PORT = 5201;
/** Of a web server. */
const GREETER_PORT = 5202;
/** One for each contender, with the networks that the host has on them. */
const TAPS = { ours: ['crosvmbench0', '10.99.81'], theirs: ['crosvmbench1', '10.99.82'] } as const;
type Side = keyof typeof TAPS;

const fio = await fetchProgram('fio');
const iperf = await fetchProgram('iperf3');
const modules = await fetchModules('virtio');
const kernel = await vmlinuxOf(await fetchKernel(CLOUD_KERNEL));
// Now that all is here that takes the host's network.
if (parts.includes('user') && !canPing()) {
  const status = runWhereItCanPing();
  if (status !== undefined) process.exit(status);
  console.error('no pings without privileges: there can be no network namespace here in which they are allowed');
}

using cleanUp = new DisposableStack();
const folder = mkdtempSync(join(tmpdir(), 'crosvm-bench-'));
cleanUp.defer(() => rmSync(folder, { recursive: true }));

/** What busybox's DHCP client does with what it was told. */
const DHCP_SCRIPT = `#!/bin/sh
[ "$1" = bound ] || exit 0
ifconfig "$interface" "$ip" netmask "$subnet"
route add default gw "$router"
echo "$router" >router
`;

/** Requests to the disk; `unit`: fio's word for what there are `much` of. */
function fioWork(goal: GoalName, name: string, words: string, unit: 'number_ios' | 'loops', much: number): Work {
  const common = '--name=it --filename=/dev/vda --direct=1 --randrepeat=1 --output=/dev/null';
  const command = (amount: number) => `${fio.command} ${common} ${words} --${unit}=${amount}`;
  return { goal, name, command, much: much + HARDLY_ANY };
}

function networkWorks(goal: GoalName, kind: string, host: string): Work[] {
  const transfer = (name: string, words: string): Work => ({
    goal,
    name: `iperf3, ${kind}, 128 MiB ${name}`,
    command: (amount) => `${iperf.command} -c ${host} -p ${PORT} -n ${amount}M ${words} >/dev/null`,
    much: 128 + HARDLY_ANY,
  });
  return [transfer('to the host', ''), transfer('to the guest', '-R')];
}

/** One after the other: the next starts when the one before has been answered. */
function roundTrips(goal: GoalName, name: string, command: string): Work {
  const times = (amount: number) =>
    `i=0; while [ $i -lt ${amount} ]; do ${command} >/dev/null || exit; i=$((i+1)); done`;
  return { goal, name, command: times, much: 100 + HARDLY_ANY };
}

const WORKS: Readonly<Record<Part, (side: Side) => Work[]>> = {
  disk: () => [
    fioWork(
      'io-random',
      '8,000 reads of 4 KiB, 1 at a time',
      '--rw=randread --bs=4k --ioengine=psync',
      'number_ios',
      8000,
    ),
    fioWork(
      'io-random',
      '16,000 reads of 4 KiB, 16 at a time',
      '--rw=randread --bs=4k --ioengine=libaio --iodepth=16',
      'number_ios',
      16_000,
    ),
    fioWork(
      'io-sequential',
      '16,384 reads of 128 KiB',
      '--rw=read --bs=128k --ioengine=libaio --iodepth=4',
      'loops',
      8, // of 256 MiB
    ),
    fioWork(
      'io-sequential',
      '16,384 writes of 128 KiB',
      '--rw=write --bs=128k --ioengine=libaio --iodepth=4',
      'loops',
      8, // of 256 MiB
    ),
  ],
  user: () => [
    ...networkWorks('net-user', 'no privileges', '$(cat router)'),
    roundTrips('net-user', '100 requests, no privileges', `wget -q -O - http://$(cat router):${GREETER_PORT}/`),
    ...(canPing() ? [roundTrips('net-user', '100 pings, no privileges', `ping -c 1 -q ${PING_ADDRESS}`)] : []),
  ],
  tap: (side) => [
    ...networkWorks('net-tap', 'TAP', `${TAPS[side][1]}.1`),
    roundTrips('net-tap', '100 pings, TAP', `ping -c 1 -q ${TAPS[side][1]}.1`),
  ],
};

/** What makes a guest of that side ready. */
function setup(side: Side, modules: readonly string[]): string[] {
  const cards = parts.filter((part) => part !== 'disk');
  const commands = modules.map((path) => `insmod ${basename(path)}`);
  for (const [i, part] of cards.entries()) {
    if (part === 'user')
      commands.push(`chmod +x dhcp; ifconfig eth${i} up; udhcpc -i eth${i} -n -q -s ./dhcp; cat router`);
    else commands.push(`ifconfig eth${i} ${TAPS[side][1]}.2 netmask 255.255.255.0 up`);
  }
  return commands;
}

async function boot(
  side: Side,
  contender: Contender,
  guest: Omit<LinuxGuest, 'disk' | 'networks'>,
  modules: readonly string[],
) {
  const networks: Network[] = parts.flatMap((part) =>
    part === 'disk' ? [] : [part === 'user' ? 'user' : { tap: TAPS[side][0] }],
  );
  const disk = join(folder, `${side}.img`);
  if (parts.includes('disk')) writeFileSync(disk, Buffer.alloc(DISK_SIZE, 7));
  console.error(`${contender.name}: boot`);
  const session = await GuestSession.boot(contender, { ...guest, networks, ...(parts.includes('disk') && { disk }) });
  for (const command of setup(side, modules)) await run(session, command);
  return session;
}

async function run(session: GuestSession, command: string): Promise<Sample> {
  const { status, output, seconds, cpuSeconds } = await session.run(command);
  if (status !== 0) throw new Error(`${session.contender.name}: ${command} gives status ${status}: ${output}`);
  return { seconds, cpuSeconds };
}

async function measure(session: GuestSession, { command, much }: Work): Promise<Sample> {
  const all = await run(session, command(much));
  const rest = await run(session, command(HARDLY_ANY));
  return { seconds: all.seconds - rest.seconds, cpuSeconds: Math.max(0, all.cpuSeconds - rest.cpuSeconds) };
}

function makeTap([name, network]: readonly [string, string]): void {
  execFileSync('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap', 'vnet_hdr']);
  cleanUp.defer(() => execFileSync('ip', ['link', 'delete', name]));
  execFileSync('ip', ['address', 'add', `${network}.1/24`, 'dev', name]);
  execFileSync('ip', ['link', 'set', name, 'up']);
}

function startServers(): void {
  const greeter = createServer((_, response) => response.end('hello\n')).listen(GREETER_PORT, '127.0.0.1');
  cleanUp.defer(() => greeter.close());
  const place = mkdtempSync(join(folder, 'iperf-'));
  for (const { name, data } of iperf.files) writeFileSync(join(place, name), data, { mode: 0o755 });
  const [program = '', ...words] = iperf.command.split(' ');
  const server = spawn(program, [...words, '-s', '-p', `${PORT}`], { cwd: place, stdio: 'ignore' });
  cleanUp.defer(() => server.kill());
}

const machine = `${machineLine()}; pairs: ${pairs}`;
if (parts.includes('tap')) for (const tap of Object.values(TAPS)) makeTap(tap);
if (parts.some((part) => part !== 'disk')) startServers();
const files = [
  ...fio.files,
  ...iperf.files.filter(({ name }) => !fio.files.some((file) => file.name === name)),
  ...modules.map((path) => ({ name: basename(path), data: readFileSync(path) })),
  { name: 'dhcp', data: new TextEncoder().encode(DHCP_SCRIPT), executable: true },
];
const initrd = await guestInitramfs({ kind: 'console-lines' }, files);
const guest = { kernel, initrd, params: ['cryptomgr.notests'], cpus: 1, memory: 512 };
using our = await boot('ours', OURS, guest, modules);
using their = await boot('theirs', QEMU, guest, modules);
const compared = new Map<GoalName, Comparison[]>();
for (const part of parts) {
  const theirWorks = WORKS[part]('theirs');
  for (const [i, work] of WORKS[part]('ours').entries()) {
    const samples: { ours: Sample[]; theirs: Sample[] } = { ours: [], theirs: [] };
    for (let pair = 0; pair < pairs; pair++) {
      samples.ours.push(await measure(our, work));
      samples.theirs.push(await measure(their, theirWorks[i]!));
      const seconds = [samples.ours, samples.theirs].map((side) => side.at(-1)!.seconds.toFixed(2)).join(' and ');
      console.error(`${work.name}: ${pair + 1} of ${pairs}: ${seconds} s`);
    }
    compared.set(work.goal, [...(compared.get(work.goal) ?? []), { name: work.name, ...samples }]);
  }
}
const findings: Finding[] = [...compared].map(([goal, comparisons]) => finding(goal, meanSpeed(comparisons)));
const comparisons = [...compared.values()].flat();
printResult({ machine, findings, comparisons }, values.json, [
  table(COMPARISON_HEADER('crosvm', 'QEMU'), comparisons.map(comparisonRow)),
]);
