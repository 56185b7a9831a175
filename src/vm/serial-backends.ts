/**
 * Where the output of serial ports goes. Targets are opened on the main thread, so that what is wrong with them is said
 * before the VM starts; each thread that runs device code makes its own sinks of them and writes directly, so nothing
 * is reordered or lost when a thread ends.
 */
import { close, O_CREAT, O_TRUNC, O_WRONLY, open, write } from '../base/fd.ts';
import { waitWritable } from '../base/readable.ts';
import { SyslogSink } from '../base/syslog.ts';
import { SystemError } from '../base/system-error.ts';
import { connectDatagrams, UnixDatagramSink } from '../base/unix-datagram.ts';
import type { ByteSink } from '../devices/device.ts';
import { CrosvmError } from '../errors.ts';
import { portName, type SerialPortConfig } from './serial-ports.ts';

/** What threads need to know of an open target: survives structured clone. */
export type SerialTarget =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'descriptor'; readonly fd: number; readonly own: boolean }
  | { readonly kind: 'datagrams'; readonly path: string }
  | { readonly kind: 'syslog'; readonly tag: string };

const STDOUT = 1;
/** How long a write waits at a time before it looks whether the VM ends. */
const PATIENCE_MS = 100;

/** Opens what a port writes to. Throws `E_SERIAL` if that cannot be. */
export function openSerialTarget(port: SerialPortConfig): SerialTarget {
  try {
    return openTarget(port);
  } catch (cause) {
    throw new CrosvmError('E_SERIAL', `${portName(port)}: ${(cause as Error).message}`, { cause });
  }
}

function openTarget({ type, hardware, num, path }: SerialPortConfig): SerialTarget {
  switch (type) {
    case 'sink':
      return { kind: 'nothing' };
    case 'stdout':
      return { kind: 'descriptor', fd: STDOUT, own: false };
    case 'file':
      return { kind: 'descriptor', fd: open(path!, O_WRONLY | O_CREAT | O_TRUNC), own: true };
    case 'syslog':
      return { kind: 'syslog', tag: `crosvm ${hardware === 'serial' ? 'serial' : 'console'}${num}` };
    case 'unix':
      close(connectDatagrams(path!)); // is there a receiver?
      return { kind: 'datagrams', path: path! };
  }
}

/** Gives back what `openSerialTarget` opened. */
export function closeSerialTarget(target: SerialTarget): void {
  if (target.kind === 'descriptor' && target.own) close(target.fd);
}

/** This thread's way to an open target. `isEnding` says whether the VM ends: then nobody is waited for any more. */
export function attachSerialTarget(target: SerialTarget, isEnding: () => boolean): ByteSink {
  switch (target.kind) {
    case 'nothing':
      return { write: () => {} };
    case 'descriptor':
      return new DescriptorSink(target.fd, isEnding);
    case 'datagrams':
      return new UnixDatagramSink(connectDatagrams(target.path));
    case 'syslog':
      return new SyslogSink(target.tag);
  }
}

/**
 * Writes all bytes to a descriptor, blocking or not. A reader that is slow slows the guest down, as a real line would;
 * one that is gone, or a full disk, ends the output and the guest runs on.
 */
export class DescriptorSink implements ByteSink {
  readonly #fd: number;
  readonly #isEnding: () => boolean;
  #broken = false;

  constructor(fd: number, isEnding: () => boolean) {
    this.#fd = fd;
    this.#isEnding = isEnding;
  }

  write(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length && !this.#broken && this.#waitForRoom(); ) {
        const n = write(this.#fd, done === 0 ? bytes : bytes.subarray(done));
        if (n > 0) done += n;
      }
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#broken = true;
    }
  }

  /** False if the VM ends first. Even a blocking descriptor is asked first: a stopped VM must not hang in a write. */
  #waitForRoom(): boolean {
    while (!waitWritable(this.#fd, PATIENCE_MS)) {
      if (this.#isEnding()) return false;
    }
    return true;
  }
}
