import { blockSyntax, blockSyntaxAs, diskExecutor } from './disk.ts';
import { globalOptions } from './global.ts';
import { hypervisorSyntax } from './hypervisor.ts';
import { jitCacheSyntax, jitSyntax } from './jit.ts';
import { netSyntax, tapFdSyntax, tapNameSyntax } from './net.ts';
import { ipv4, macAddress } from './network.ts';
import { flag, list, type Parsed, value, valueOr, valueOrImplied } from './option.ts';
import { pmemSyntax, pmemSyntaxAs } from './pmem.ts';
import { sandboxOptions } from './sandbox.ts';
import { serialSyntax } from './serial.ts';
import { sharedDirSyntax } from './shared-dir.ts';
import { choice, integer, keyValues, mapped, path, required, text } from './syntax.ts';
import { vhostUserFsSyntax, vhostUserSyntax } from './vhost-user.ts';
import { vsockSyntax } from './vsock.ts';

/** In MiB: more than this does not fit the address space of any x86-64 processor. */
const MAX_MEMORY_MIB = 2 ** 32;
/** What an 8-bit local APIC id can name, without the broadcast id. */
const MAX_CPUS = 255;

const memory = mapped(
  keyValues(
    { size: required(integer({ min: 0, max: MAX_MEMORY_MIB, metavar: 'MIB' }), 'Size in MiB.') },
    { first: 'size', metavar: 'MIB' },
  ),
  ({ size }) => size,
);

const cpus = mapped(
  keyValues(
    { 'num-cores': required(integer({ min: 1, max: MAX_CPUS }), 'Number of vCPUs.') },
    { first: 'num-cores', metavar: 'N' },
  ),
  (given) => given['num-cores'],
);

/** A device by the socket of its back end. */
const backEnd = (short: string, what: string) =>
  list({
    section: 'Devices',
    syntax: path('SOCKET'),
    help: `Add ${what} whose vhost-user back end listens at this socket: the same as --vhost-user type=${short},socket=SOCKET.`,
  });

/** Every option of `crosvm run`. */
export const runOptions = {
  mem: valueOr({
    short: 'm',
    section: 'Machine',
    syntax: memory,
    fallback: 256,
    help: 'Guest memory.',
  }),
  cpus: valueOr({
    short: 'c',
    section: 'Machine',
    syntax: cpus,
    fallback: 1,
    help: 'Virtual CPUs.',
  }),
  hypervisor: valueOr({
    section: 'Machine',
    syntax: hypervisorSyntax,
    fallback: { kind: 'auto', device: undefined },
    help: 'What runs the guest [default: auto].',
  }),
  kvmDevice: value({
    section: 'Machine',
    syntax: path(),
    help: 'The KVM device [default: /dev/kvm].',
  }),
  jit: valueOr({
    section: 'Machine',
    syntax: jitSyntax,
    fallback: 'auto',
    help: 'What the software CPU compiles; KVM has nothing to compile, so there it has no effect.',
  }),
  jitCache: valueOr({
    section: 'Machine',
    syntax: jitCacheSyntax,
    fallback: 'auto',
    help:
      'Where the software CPU keeps what it has compiled, so that later runs of the same guest code start with it. ' +
      'Deterministic VMs keep nothing.',
  }),
  irqchip: value({
    section: 'Machine',
    syntax: choice('kernel', 'split'),
    help: 'With KVM, where PIC, IOAPIC and PIT live: in the kernel (the default), or in this process.',
  }),
  splitIrqchip: flag({
    section: 'Machine',
    help: 'The same as --irqchip split.',
  }),
  deterministic: valueOrImplied({
    section: 'Machine',
    syntax: integer({ min: 0, max: Number.MAX_SAFE_INTEGER, metavar: 'SEED' }),
    implied: 0,
    help:
      "Make every run of the same command the same: the guest's time is the number of its instructions, and what is " +
      'random to it follows from SEED, a whole number [0 without one]. On the software CPU, with one vCPU. The hash of ' +
      "the machine's last state is said at --log-level info.",
  }),
  acpiTable: list({
    section: 'Machine',
    syntax: path(),
    help: 'Add the ACPI table in this file to those of the machine.',
  }),

  params: list({
    short: 'p',
    section: 'Boot',
    syntax: text('TEXT'),
    help: "Add to the guest kernel's command line.",
  }),
  initrd: value({
    short: 'i',
    section: 'Boot',
    syntax: path(),
    help: 'Initial ramdisk for the guest kernel.',
  }),
  bios: value({
    section: 'Boot',
    syntax: path(),
    help: 'Run the firmware in this file, from the reset vector, instead of a kernel.',
  }),

  serial: list({
    section: 'Devices',
    syntax: serialSyntax,
    help: 'Set up a serial port. Without any that is a console, COM1 is one, on standard input and output.',
  }),
  block: list({
    short: 'b',
    section: 'Devices',
    syntax: blockSyntax,
    help: 'Add a disk. Disks are /dev/vda, /dev/vdb and so on in a Linux guest, in the order in which they are given.',
    variants: {
      root: {
        short: 'r',
        syntax: blockSyntaxAs({ ro: true, root: true }),
        help: "Add a read-only disk that the guest's root file system is on.",
      },
      rwroot: {
        syntax: blockSyntaxAs({ ro: false, root: true }),
        help: 'The same, but the guest may write.',
      },
      disk: {
        short: 'd',
        syntax: blockSyntaxAs({ ro: true, root: false }),
        help: 'Add a read-only disk.',
      },
      rwdisk: {
        syntax: blockSyntaxAs({ ro: false, root: false }),
        help: 'Add a disk that the guest may write.',
      },
    },
  }),
  asyncExecutor: value({
    section: 'Devices',
    syntax: diskExecutor,
    help: 'How requests to disks that say nothing of it by "async-executor=" are carried out.',
  }),
  pmem: list({
    section: 'Devices',
    syntax: pmemSyntax,
    help: 'Make a file memory of the guest, in which a Linux guest finds persistent memory: /dev/pmem0, /dev/pmem1 and so on.',
    variants: {
      'pmem-device': { syntax: pmemSyntaxAs({ ro: true }), help: 'The same as --pmem path=PATH,ro.' },
      'rw-pmem-device': { syntax: pmemSyntaxAs({ ro: false }), help: 'The same as --pmem path=PATH.' },
    },
  }),
  noRng: flag({
    section: 'Devices',
    help: "Do without the device that gives the guest random bytes of the host's.",
  }),
  noBalloon: flag({
    section: 'Devices',
    help: 'Do without the memory balloon, by which the host can take memory from a running guest.',
  }),
  initMem: value({
    section: 'Devices',
    syntax: integer({ min: 1, max: MAX_MEMORY_MIB, metavar: 'MIB' }),
    help: 'Memory that the guest has at first; the balloon holds the rest of --mem [default: all].',
  }),
  strictBalloon: flag({
    section: 'Devices',
    help: 'The guest may not take memory back from the balloon when it has no other.',
  }),
  balloonPageReporting: flag({
    section: 'Devices',
    help: 'The guest also gives the host memory that it does not use, without being asked.',
  }),
  net: list({
    section: 'Devices',
    syntax: netSyntax,
    help: 'Add a network card, whose wire is a TAP device of the host or, with user, its sockets.',
    variants: {
      'tap-name': { syntax: tapNameSyntax, help: 'The same as --net tap-name=NAME.' },
      'tap-fd': { syntax: tapFdSyntax, help: 'The same as --net tap-fd=N.' },
    },
  }),
  hostIp: value({
    section: 'Devices',
    aliases: ['host_ip'],
    syntax: ipv4,
    help:
      "Add a network card with a TAP device that is made for it: the address of the host's end. Needs --netmask, --mac and " +
      'the capability CAP_NET_ADMIN.',
  }),
  netmask: value({ section: 'Devices', syntax: ipv4, help: 'The netmask that goes with --host_ip.' }),
  mac: value({
    section: 'Devices',
    syntax: macAddress,
    help: "The guest's hardware address that goes with --host_ip.",
  }),
  vhostNet: flag({
    section: 'Devices',
    help: "Let the host's kernel move the frames of all network cards that have a TAP device.",
  }),
  vhostNetDevice: valueOr({
    section: 'Devices',
    syntax: path(),
    fallback: '/dev/vhost-net',
    help: "The host kernel's device for that.",
  }),
  vsock: value({
    section: 'Devices',
    aliases: ['cid'],
    syntax: vsockSyntax,
    help:
      'Add a device for sockets between the guest and the host: sockets of the kernel (/dev/vhost-vsock) where that is ' +
      'possible and no path is given, else unix sockets.',
  }),
  vhostVsockDevice: value({
    section: 'Devices',
    syntax: path(),
    help: 'The same as device= of --vsock.',
  }),
  vhostVsockFd: value({
    section: 'Devices',
    syntax: integer({ min: 3, max: 2 ** 31 - 1, metavar: 'N' }),
    help: "The host kernel's vhost device for sockets, which is open as this descriptor.",
  }),
  vhostUser: list({
    section: 'Devices',
    syntax: vhostUserSyntax,
    help: 'Add a virtio device that another program provides, over a vhost-user connection.',
  }),
  vhostUserBlk: backEnd('block', 'a disk'),
  vhostUserNet: backEnd('net', 'a network card'),
  vhostUserConsole: backEnd('console', 'a console'),
  vhostUserVsock: backEnd('vsock', 'a socket device'),
  vhostUserGpu: backEnd('gpu', 'a graphics card'),
  vhostUserSnd: backEnd('snd', 'a sound card'),
  vhostUserFs: list({
    section: 'Devices',
    syntax: vhostUserFsSyntax,
    help: 'Add a file system whose vhost-user back end (such as virtiofsd) listens at this socket.',
  }),
  sharedDir: list({
    section: 'Devices',
    syntax: sharedDirSyntax,
    help: 'Share a folder of the host with the guest, which mounts it by its tag.',
  }),
  ...sandboxOptions,

  socket: value({
    short: 's',
    section: 'Control',
    syntax: path(),
    help: 'Listen for commands such as "crosvm stop" at this path; in a folder, at crosvm-PID.sock.',
  }),
  ...globalOptions,
};

export type RunOptions = Parsed<typeof runOptions>;
