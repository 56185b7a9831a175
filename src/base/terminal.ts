import { isatty } from 'node:tty';
import { rawIoctl } from './fd.ts';
import { pin } from './ffi.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Whether a descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  return isatty(fd);
}

const TIOCGWINSZ = 0x5413;

/** In characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** struct winsize: rows, columns, and the same in pixels (ioctl_tty(2)). */
const winsize = new Uint16Array(4);
const winsizeAddress = pin(winsize);

/** The size of a terminal; undefined when it is gone. */
function terminalSize(fd: number): TerminalSize | undefined {
  return rawIoctl(fd, TIOCGWINSZ, winsizeAddress) === -1 ? undefined : { columns: winsize[1]!, rows: winsize[0]! };
}

/**
 * Tells the size of the terminal `fd` that this process runs on, now and whenever it has changed (SIGWINCH), until it is
 * closed.
 */
export function followTerminalSize(fd: number, onSize: (size: TerminalSize) => void): { close(): void } {
  const tell = () => {
    const size = terminalSize(fd);
    if (size !== undefined) onSize(size);
  };
  process.on('SIGWINCH', tell);
  tell();
  return { close: () => void process.off('SIGWINCH', tell) };
}

/** What `enterRawMode` needs of `process.stdin`, and of `process`. */
interface RawInput {
  setRawMode(on: boolean): unknown;
}
interface SignalSource {
  readonly pid: number;
  on(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
  listenerCount(event: string): number;
  kill(pid: number, signal: string): unknown;
}

/**
 * Puts standard input, which must be a terminal, into raw mode: every key reaches the guest, Ctrl-C too. Returns the
 * function that restores it. It is restored anyway when the process exits, also by an exception, and when SIGINT,
 * SIGTERM or SIGHUP arrives; a signal that nobody else handles then ends the process as usual.
 */
export function enterRawMode(input: RawInput = process.stdin, source: SignalSource = process): () => void {
  const onSignal = SIGNALS.map((signal) => {
    const listener = () => {
      const handledElsewhere = source.listenerCount(signal) > 1;
      restore();
      if (!handledElsewhere) source.kill(source.pid, signal);
    };
    return { signal, listener };
  });
  let raw = true;
  const restore = () => {
    if (!raw) return;
    raw = false;
    input.setRawMode(false);
    source.off('exit', restore);
    for (const { signal, listener } of onSignal) source.off(signal, listener);
  };

  source.on('exit', restore);
  for (const { signal, listener } of onSignal) source.on(signal, listener);
  input.setRawMode(true);
  return restore;
}
