/** The programs that are measured side by side. */
import { join } from 'node:path';
import { projectFolder } from '../tools/setup.js';

export interface Contender {
  readonly name: string;
  readonly program: string;
  /** Is in the name of the mapping that holds the guest's memory. */
  readonly ram: string;
  linux(guest: LinuxGuest): string[];
  /** A ROM of 64 KiB with 16 MiB of memory. */
  firmware(path: string): string[];
}

export interface LinuxGuest {
  readonly kernel: string;
  readonly initrd: string;
  readonly params: readonly string[];
  /** The whole command line that our own program makes of the parameters. */
  readonly commandLine: string;
}

function crosvm(name: string, ...path: string[]): Contender {
  const program = join(projectFolder, ...path);
  return {
    name,
    program: process.execPath,
    ram: 'crosvm_guest',
    linux: ({ kernel, initrd, params }) => [
      ...[program, 'run', '--hypervisor', 'soft', '-c', '1', '-m', '256', '--initrd', initrd],
      ...params.flatMap((param) => ['-p', param]),
      kernel,
    ],
    firmware: (rom) => [program, 'run', '--hypervisor', 'soft', '-m', '16', '--bios', rom],
  };
}

/** From the sources of the checkout. */
export const OURS = crosvm('crosvm, soft', 'bin', 'crosvm');

/** As it is published: `npm run build` has made it. */
export const OURS_BUILT = crosvm('crosvm, soft, built', 'dist', 'bin', 'crosvm');

const QEMU_MACHINE = ['-M', 'q35,memory-backend=ram', '-accel', 'tcg', '-smp', '1', '-nodefaults', '-display', 'none'];
const qemuMemory = (mib: number) => [
  ...['-m', `${mib}`],
  ...['-object', `memory-backend-memfd,id=ram,size=${mib}M`],
  ...['-serial', 'stdio', '-no-reboot'],
];

export const QEMU: Contender = {
  name: 'QEMU, TCG',
  program: 'qemu-system-x86_64',
  // As the kernel names the file of memory-backend-memfd.
  ram: 'memfd:memory-backend-memfd',
  linux: ({ kernel, initrd, commandLine }) => [
    ...[...QEMU_MACHINE, ...qemuMemory(256), '-kernel', kernel, '-initrd', initrd, '-append', commandLine],
  ],
  firmware: (path) => [...QEMU_MACHINE, ...qemuMemory(16), '-bios', path],
};
