import type { ByteSink } from '../devices/device.ts';
import { libc } from './ffi.ts';
import { SystemError } from './system-error.ts';
import { connectDatagrams } from './unix-datagram.ts';

const LOG_INFO = 6;
const MAX_LINE = 1024;
const NEWLINE = 10;

/** The facility of user programs (syslog(3)), in the bits above the priority. */
const LOG_USER = 1 << 3;
/** Where the system's log takes datagrams. */
const LOG_SOCKET = '/dev/log';

type Log = (priority: number, format: string, type: 'str', line: string) => void;

/** A socket that leads to the system's log, for who cannot open one later; undefined where there is no log. */
export function connectSyslog(path = LOG_SOCKET): number | undefined {
  try {
    return connectDatagrams(path);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/** What takes the place of syslog(3) where there is nothing but such a socket. */
export function socketLog(socket: ByteSink): Log {
  return (priority, _format, _type, line) => socket.write(new TextEncoder().encode(`<${LOG_USER | priority}>${line}`));
}

/** Sends whole lines to the system's log, at level info, each behind a tag. Longer lines are cut into pieces. */
export class SyslogSink implements ByteSink {
  readonly #tag: string;
  readonly #log: Log;
  readonly #line = new Uint8Array(MAX_LINE);
  #length = 0;

  /** `log` is syslog(3), or something in its place. */
  constructor(tag: string, log: Log = libc<Log>('void syslog(int, const char *, ...)')) {
    this.#tag = tag;
    this.#log = log;
  }

  write(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte !== NEWLINE) this.#line[this.#length++] = byte;
      if (byte === NEWLINE || this.#length === MAX_LINE) this.flush();
    }
  }

  /** Sends what has come of a line so far. */
  flush(): void {
    if (this.#length === 0) return;
    const text = new TextDecoder().decode(this.#line.subarray(0, this.#length));
    this.#length = 0;
    // A NUL would end the C string early; a serial console has no use for other control characters in a log either.
    const printable = text.replace(/[\p{Cc}]/gu, ' ').trimEnd();
    if (printable !== '') this.#log(LOG_INFO, '%s', 'str', `${this.#tag}: ${printable}`);
  }
}
