import { cpio } from '../src/initramfs/cpio.ts';

/** The line that /init prints first: the guest's user space runs. */
export const GUEST_IS_UP = 'crosvm: the guest is up';

/** What the guest does once it is up; it powers off afterwards. */
export type GuestJob =
  /** A shell for a person on the console, until they leave it. */
  | { readonly kind: 'shell' }
  /** Runs the commands that come in on the console until its end (Ctrl-D at the start of a line), without echoing them. */
  | { readonly kind: 'console-commands' }
  /** Runs each line that comes in on the console as soon as it is there, without echoing it, until the console's end. */
  | { readonly kind: 'console-lines' }
  /** Runs these shell commands; after each prints `crosvm: status N`, see `commandStatus`. */
  | { readonly kind: 'commands'; readonly commands: readonly string[] };

/** The line that follows the output of a command of the job 'commands'. */
export function commandStatus(status: number): string {
  return `crosvm: status ${status}`;
}

/** A file that the guest gets in the folder in which its job runs. */
export interface GuestFile {
  readonly name: string;
  readonly data: Uint8Array;
  /** A program, which the guest may run. */
  readonly executable?: boolean;
}

/** Builds an initramfs of busybox (a statically linked one) and an /init that does the job. */
export function initramfs(busybox: Uint8Array, job: GuestJob, files: readonly GuestFile[] = []): Uint8Array {
  const folders = ['bin', 'dev', 'proc', 'sys', 'tmp', 'root'];
  return cpio([
    ...folders.map((path) => ({ path, mode: 0o040755 })),
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    { path: 'bin/busybox', mode: 0o100755, data: busybox },
    { path: 'init', mode: 0o100755, data: initScript(job) },
    ...files.map(({ name, data, executable }) => ({
      path: `root/${name}`,
      mode: executable === true ? 0o100755 : 0o100644,
      data,
    })),
  ]);
}

/** The script that the kernel starts as process 1, with the console as its standard streams. */
export function initScript(job: GuestJob): string {
  return [
    '#!/bin/busybox sh',
    'export PATH=/bin HOME=/root TERM=linux',
    '/bin/busybox --install -s /bin',
    'mount -t proc proc /proc',
    'mount -t sysfs sysfs /sys',
    'mount -t devtmpfs devtmpfs /dev',
    'cd /root',
    ...(job.kind.startsWith('console-') ? ['stty -echo'] : []),
    `echo '${GUEST_IS_UP}'`,
    ...jobLines(job),
    'poweroff -f',
    '',
  ].join('\n');
}

function jobLines(job: GuestJob): string[] {
  switch (job.kind) {
    case 'shell':
      // A session of its own with the console as its terminal: job control and Ctrl-C work.
      return ['setsid cttyhack sh'];
    case 'console-commands':
      // The shell must not see a terminal: to edit lines it would switch the mode under input that has come already,
      // and then take the Ctrl-D among it for an ordinary character.
      return ['cat | sh'];
    case 'console-lines':
      // `cat` would hand on what it has read only at the end.
      return ['while read -r line; do eval "$line"; done'];
    case 'commands':
      return job.commands.flatMap((command) => [
        `sh -c ${quote(command)}`,
        `echo "${commandStatus(0).slice(0, -1)}$?"`,
      ]);
  }
}

function quote(command: string): string {
  return `'${command.replaceAll("'", "'\\''")}'`;
}
