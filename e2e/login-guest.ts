/** A guest with a whole system: somebody logs in on its serial console and runs commands. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type CommandOutput, CROSVM } from './linux-guest.ts';

const BEGIN = 'test: begin';
const END = /test: end (\d+)\n/;

/** What a terminal hands on in one line at most (termios(3)). */
const MAX_LINE = 4095;

export class LoginGuest {
  /** All that was printed. */
  console = '';
  stderr = '';
  readonly pid: number;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<unknown>;
  /** Where in `console` starts what nobody has waited for. */
  #seen = 0;
  #isOver = false;
  #wake = (): void => {};

  /** `words`: for crosvm, whose standard streams are the console; `timeout`: milliseconds that any of it may take. */
  constructor(words: readonly string[], options: { readonly cwd: string; readonly timeout: number }) {
    this.#child = spawn(process.execPath, [CROSVM, ...words], options);
    this.pid = this.#child.pid!;
    this.#child.stdout.setEncoding('latin1').on('data', (text: string) => {
      this.console += text.replaceAll('\r', '');
      this.#wake();
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.#child.stdin.on('error', () => {});
    this.#ended = once(this.#child, 'close').then(() => {
      this.#isOver = true;
      this.#wake();
    });
  }

  /** Logs in as root, who has no password, and waits until the system has come up. */
  async login(): Promise<void> {
    await this.#until(/ login: $/);
    this.#child.stdin.write('root\n');
    await this.#until(/# $/);
    // A plain shell, which neither edits lines nor says when it is ready for one.
    this.#child.stdin.write('exec sh\n');
    await this.#until(/# $/);
    this.#child.stdin.write("stty -echo; PS1=''; dmesg -n 1; echo test: ready\n");
    await this.#until(/^test: ready\n/m);
    await this.run('systemctl is-system-running --wait');
  }

  /** Runs one line of a shell without input; what it prints to either stream. */
  async run(command: string): Promise<CommandOutput> {
    const line = `echo ${BEGIN}; (${command}) </dev/null 2>&1; echo test: end $?\n`;
    if (line.length > MAX_LINE || command.includes('\n')) throw new RangeError(`too long for a line: ${command}`);
    this.#child.stdin.write(line);
    await this.#until(new RegExp(`^${BEGIN}\n`, 'm'));
    const printed = await this.#until(END);
    const end = END.exec(printed)!;
    return { output: printed.slice(0, end.index), status: Number(end[1]) };
  }

  /** Types a line, and waits for the end; crosvm's exit status. */
  async end(line: string): Promise<number | null> {
    this.#child.stdin.write(`${line}\n`);
    await this.#ended;
    return this.#child.exitCode;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Waits for something to be printed; what was printed up to there. */
  async #until(pattern: RegExp): Promise<string> {
    for (;;) {
      const text = this.console.slice(this.#seen);
      const match = pattern.exec(text);
      if (match !== null) {
        const length = match.index + match[0].length;
        this.#seen += length;
        return text.slice(0, length);
      }
      if (this.#isOver) throw new Error(`the guest ended; ${this.stderr}\n${this.console.slice(-3000)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
