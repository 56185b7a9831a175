import { cpio } from './cpio.ts';
import { initProgram, type ProgramStep } from './init-program.ts';
import { type KernelParameter, lastValue } from './kernel-parameters.ts';
import type { RootShare } from './root-share.ts';

/** A kernel module, as the kernel takes it: not compressed. */
export interface Module {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Numbers of system calls (Linux, arch/x86/entry/syscalls/syscall_64.tbl). */
const EXECVE = 59;
const CHDIR = 80;
const UNLINK = 87;
const CHROOT = 161;
const MOUNT = 165;
const INIT_MODULE = 175;
/** Flags of mount(2). */
const MS_RDONLY = 1;
const MS_MOVE = 0x2000;

/** What Linux tries where the command line has no `init=` (kernel_init in init/main.c). */
const INITS = ['/sbin/init', '/etc/init', '/bin/init', '/bin/sh'];

const NULL = 0;
/** Where the share is mounted first. */
const MOUNT_POINT = 'root';

/**
 * An initramfs whose /init loads the modules and then does what the kernel itself does without an initramfs (init/do_mounts.c):
 * it mounts the share as `parameters` say and starts its init. `readOnly`: what is so without `ro` or `rw`.
 */
export function shareInitramfs(
  root: RootShare,
  modules: readonly Module[],
  parameters: readonly KernelParameter[],
  readOnly: boolean,
): Uint8Array {
  const steps = [
    ...modules.map(loadModule),
    { call: UNLINK, args: ['/init'], failure: 'cannot give back the memory of the initramfs', optional: true },
    ...mountRoot(root, lastValue(parameters, 'rootflags'), isReadOnly(parameters) ?? readOnly),
    ...startInit(lastValue(parameters, 'init')),
  ];
  return cpio([
    { path: 'dev', mode: 0o040755 },
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    { path: MOUNT_POINT, mode: 0o040700 },
    { path: 'init', mode: 0o100700, data: initProgram(steps.map(withPrefix)) },
  ]);
}

function isReadOnly(parameters: readonly KernelParameter[]): boolean | undefined {
  const last = parameters.findLast(([name]) => name === 'ro' || name === 'rw');
  return last && last[0] === 'ro';
}

function loadModule({ name, bytes }: Module): ProgramStep {
  return { call: INIT_MODULE, args: [bytes, bytes.length, ''], failure: `cannot load the module ${name}` };
}

function mountRoot({ tag, fileSystem }: RootShare, flags: string | undefined, readOnly: boolean): ProgramStep[] {
  const move = `cannot make ${tag} the root file system`;
  return [
    {
      call: MOUNT,
      args: [tag, MOUNT_POINT, fileSystem, readOnly ? MS_RDONLY : 0, flags ?? NULL],
      failure: `cannot mount ${tag} (${fileSystem})`,
    },
    { call: CHDIR, args: [MOUNT_POINT], failure: move },
    {
      call: MOUNT,
      args: ['devtmpfs', 'dev', 'devtmpfs', 0, NULL],
      failure: `cannot mount /dev of ${tag} (devtmpfs)`,
      optional: true,
    },
    { call: MOUNT, args: ['.', '/', NULL, MS_MOVE, NULL], failure: move },
    { call: CHROOT, args: ['.'], failure: move },
  ];
}

/** Like the kernel, it looks no further than a program that the command line names. */
function startInit(given: string | undefined): ProgramStep[] {
  const inits = given === undefined || given === '' ? INITS : [given];
  return inits.map((path) => ({ call: EXECVE, args: [path], failure: `cannot run ${path}`, optional: true }));
}

function withPrefix(step: ProgramStep): ProgramStep {
  return { ...step, failure: `crosvm: ${step.failure}: errno ` };
}
