import { isatty } from 'node:tty';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Whether a descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  return isatty(fd);
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
