/** The programs that are measured side by side. */
import { join } from 'node:path';
import { buildCommandLine } from '../src/arch/x86_64/cmdline.ts';
import { projectFolder } from '../tools/setup.js';

export interface Contender {
  readonly name: string;
  readonly program: string;
  /** Is in the name of the mapping that holds the guest's memory. */
  readonly ram: string;
  /** The words of a command line whose standard streams are the guest's serial console. */
  linux(guest: LinuxGuest): string[];
}

/** A contender that can start firmware as well. */
export interface FirmwareContender extends Contender {
  /** A ROM of 64 KiB with 16 MiB of memory. */
  firmware(path: string): string[];
}

export interface LinuxGuest {
  readonly kernel: string;
  readonly initrd: string;
  readonly params: readonly string[];
  /** vCPUs. */
  readonly cpus: number;
  /** Guest memory in MiB. */
  readonly memory: number;
  /** The path of a raw image, which becomes /dev/vda. */
  readonly disk?: string;
  /** Cards: eth0, eth1, ... */
  readonly networks?: readonly Network[];
  /** A folder that the guest mounts as `share`. */
  readonly share?: Share;
  /** Of our own program; left out: as a user has it. */
  readonly jitCache?: string;
}

/** By virtio-fs (`fs`), or by 9P. */
export interface Share {
  readonly path: string;
  readonly kind: 'fs' | 'p9';
}

/** A card without privileges (passt, or QEMU's slirp), or one on this TAP device. */
export type Network = 'user' | { readonly tap: string };

/** The whole command line that our own program makes of the parameters; the others are given it. */
export function kernelCommandLine({ params }: LinuxGuest): string {
  return buildCommandLine({ console: 'ttyS0', params });
}

/** Neither has the devices that our own program gives a guest unasked. */
const NO_DEVICES = ['--no-rng', '--no-balloon'];

function ourDevices({ disk, networks = [], share }: LinuxGuest): string[] {
  const cards = networks.map((network) => (network === 'user' ? 'user' : `tap-name=${network.tap}`));
  return [
    ...(disk === undefined ? [] : ['--rwdisk', disk]),
    ...cards.flatMap((card) => ['--net', card]),
    ...(share === undefined ? [] : ['--shared-dir', `${share.path}:share:type=${share.kind}`]),
  ];
}

function crosvm(name: string, ...path: string[]): FirmwareContender {
  const program = join(projectFolder, ...path);
  return {
    name,
    program: process.execPath,
    ram: 'crosvm_guest',
    linux: (guest) => [
      ...[program, 'run', '--hypervisor', 'soft', '--jit-cache', guest.jitCache ?? 'auto'],
      ...[...NO_DEVICES, ...ourDevices(guest)],
      ...['-c', `${guest.cpus}`, '-m', `${guest.memory}`, '--initrd', guest.initrd],
      ...['--serial', 'type=stdout,hardware=serial,num=1,console,stdin'],
      ...guest.params.flatMap((param) => ['-p', param]),
      guest.kernel,
    ],
    firmware: (rom) => [program, 'run', '--hypervisor', 'soft', ...NO_DEVICES, '-m', '16', '--bios', rom],
  };
}

/** From the sources of the checkout. */
export const OURS = crosvm('crosvm, soft', 'bin', 'crosvm');

/** As it is published: `npm run build` has made it. */
export const OURS_BUILT = crosvm('crosvm, soft, built', 'dist', 'bin', 'crosvm');

const qemuMachine = (memory: number, cpus: number) => [
  ...['-M', 'q35,memory-backend=ram', '-accel', 'tcg', '-smp', `${cpus}`, '-nodefaults', '-display', 'none'],
  ...['-m', `${memory}`, '-object', `memory-backend-memfd,id=ram,size=${memory}M`],
  ...['-serial', 'stdio', '-no-reboot'],
];

function qemuDevices({ disk, networks = [], share }: LinuxGuest): string[] {
  const drive = ['-drive', `if=none,id=disk,format=raw,file=${disk}`, '-device', 'virtio-blk-pci,drive=disk'];
  const cards = networks.map((network, i) => {
    const wire =
      network === 'user' ? `user,id=net${i}` : `tap,id=net${i},ifname=${network.tap},script=no,downscript=no`;
    return ['-netdev', wire, '-device', `virtio-net-pci,netdev=net${i},romfile=`];
  });
  const folder = ['-virtfs', `local,path=${share?.path},mount_tag=share,security_model=none`];
  return [...(disk === undefined ? [] : drive), ...cards.flat(), ...(share?.kind === 'p9' ? folder : [])];
}

/** With the processor that it shows a guest by itself, qemu64. */
export const QEMU: FirmwareContender = {
  name: 'QEMU, TCG',
  program: 'qemu-system-x86_64',
  // As the kernel names the file of memory-backend-memfd.
  ram: 'memfd:memory-backend-memfd',
  linux: (guest) => [
    ...[...qemuMachine(guest.memory, guest.cpus), ...qemuDevices(guest)],
    ...['-kernel', guest.kernel, '-initrd', guest.initrd],
    ...['-append', kernelCommandLine(guest)],
  ],
  firmware: (path) => [...qemuMachine(16, 1), '-bios', path],
};

/** Debian's file server for virtio-fs (package qemu-system-common). */
export const VIRTIOFSD = '/usr/lib/qemu/virtiofsd';

/**
 * QEMU with a folder by virtio-fs. The file server, which makes a socket at that path, is a child of it, so that its time counts. It
 * has extended attributes, as ours does: without them a guest asks less (it looks for capabilities of files that it writes).
 */
export function qemuWithVirtiofsd(socket: string): Contender {
  const script = `${VIRTIOFSD} --socket-path="$0" -o source="$1",xattr >/dev/null 2>&1 & shift
    until [ -S "$0" ]; do sleep 0.1; done; exec ${QEMU.program} "$@"`;
  return {
    name: 'QEMU, TCG, virtiofsd',
    program: '/bin/sh',
    ram: QEMU.ram,
    linux: (guest) => [
      ...['-c', script, socket, guest.share!.path, ...QEMU.linux(guest)],
      ...['-chardev', `socket,id=fs,path=${socket}`, '-device', 'vhost-user-fs-pci,chardev=fs,tag=share'],
    ],
  };
}
