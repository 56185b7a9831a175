/** A terminal of a test's own, for a program to run on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { ReadStream } from 'node:tty';
import { close, ioctl, O_RDWR, open, writeAll } from '../src/base/fd.ts';
import { addressOf } from '../src/base/ffi.ts';
import { until } from './until.ts';

const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;
const O_NOCTTY = 0o400;

/** Starts a program (which is not to be `setsid`) on a terminal of its own; what it says there is collected. */
export class OnTerminal {
  readonly program: ChildProcess;
  /** Settles with its exit status. */
  readonly ended: Promise<number | null>;
  readonly #master: number;
  readonly #stream: ReadStream;
  #said = '';

  constructor(words: readonly string[], size: { readonly columns: number; readonly rows: number }) {
    this.#master = open('/dev/ptmx', O_RDWR | O_NOCTTY);
    ioctl(this.#master, TIOCSPTLCK, addressOf(new Int32Array(1)), 'TIOCSPTLCK');
    const number = new Int32Array(1);
    ioctl(this.#master, TIOCGPTN, addressOf(number), 'TIOCGPTN');
    this.resize(size);
    const terminal = open(`/dev/pts/${number[0]}`, O_RDWR | O_NOCTTY);
    // Signals of the terminal, such as that of a new size, go to those whose terminal it is.
    this.program = spawn('setsid', ['--ctty', '--wait', ...words], { stdio: [terminal, terminal, 'inherit'] });
    close(terminal);
    this.ended = new Promise((resolve) => this.program.once('exit', resolve));
    this.#stream = new ReadStream(this.#master);
    this.#stream.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
    this.#stream.on('error', () => {}); // EIO: nobody has the terminal open any more
  }

  get said(): string {
    return this.#said;
  }

  resize({ columns, rows }: { readonly columns: number; readonly rows: number }): void {
    ioctl(this.#master, TIOCSWINSZ, addressOf(Uint16Array.of(rows, columns, 0, 0)), 'TIOCSWINSZ');
  }

  /** Types something, and waits for an answer that matches. */
  async ask(text: string, pattern: RegExp): Promise<void> {
    const before = this.#said.length;
    writeAll(this.#master, new TextEncoder().encode(text));
    await this.says(pattern, before);
  }

  /** Waits until what it has said from character `from` on matches. */
  async says(pattern: RegExp, from = 0): Promise<void> {
    await until(
      () => pattern.test(this.#said.slice(from)),
      () => `${pattern} in ${JSON.stringify(this.#said.slice(-500))}`,
    );
  }

  close(): void {
    this.program.kill();
    this.#stream.destroy();
  }
}
