import { CrosvmError } from '../../errors.ts';
import { COMMAND_LINE_ROOM } from './memory-map.ts';

export interface CommandLineOptions {
  /** Linux's name of the console device: `ttyS0`, `hvc0`; none for a guest without console. */
  readonly console?: string;
  /** Value of `earlycon=`, as `uart8250,io,0x3f8`. */
  readonly earlycon?: string;
  /** The disk with the root file system, as Linux calls it, and whether it may be written. */
  readonly root?: { readonly device: string; readonly writable: boolean } | undefined;
  /** What the user gave, in this order; each may hold several parameters. */
  readonly params?: readonly string[];
}

/**
 * The kernel's command line. By default it has `panic=-1` (reboot at once, which ends the VM), then `console=` and
 * `earlycon=`, `root=`, then the user's parameters: the kernel lets the last of contradictory ones win.
 * Throws `E_CMDLINE` for characters that cannot be part of a command line.
 */
export function buildCommandLine(options: CommandLineOptions): string {
  const parts = ['panic=-1'];
  if (options.console !== undefined) parts.push(`console=${options.console}`);
  if (options.earlycon !== undefined) parts.push(`earlycon=${options.earlycon}`);
  const { root } = options;
  if (root !== undefined) parts.push(`root=${root.device} ${root.writable ? 'rw' : 'ro'}`);
  for (const param of options.params ?? []) {
    if (/[\0\n\r]/.test(param)) {
      throw new CrosvmError(
        'E_CMDLINE',
        `the kernel parameter ${JSON.stringify(param)} has a NUL or a line break in it`,
      );
    }
    if (param.trim() !== '') parts.push(param.trim());
  }
  return parts.join(' ');
}

/**
 * The command line in UTF-8 with its NUL. `kernelLimit` is the longest that the kernel takes, without NUL. Throws
 * `E_CMDLINE` if the text is longer than that or than the room in the memory map.
 */
export function encodeCommandLine(text: string, kernelLimit: number): Uint8Array {
  const limit = Math.min(kernelLimit, COMMAND_LINE_ROOM - 1);
  const bytes = new TextEncoder().encode(`${text}\0`);
  if (bytes.length - 1 > limit) {
    throw new CrosvmError(
      'E_CMDLINE',
      `the kernel command line has ${bytes.length - 1} bytes, but at most ${limit} fit; shorten what --params adds`,
    );
  }
  return bytes;
}
