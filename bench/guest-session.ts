/** A Linux guest that stays up and runs commands, each timed from outside: the clock of a guest is not trusted. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { GUEST_IS_UP } from '../tools/initramfs.ts';
import type { Contender, LinuxGuest } from './contenders.ts';
import { cpuSecondsOfTree } from './process-usage.ts';

/** What one command took and gave. */
export interface Timed {
  /** Between the arrivals of the lines that the guest prints before and after the command. */
  readonly seconds: number;
  /** Of all threads of the contender's process tree in that time; to 10 ms. */
  readonly cpuSeconds: number;
  /** Standard output and error. */
  readonly output: string;
  readonly status: number;
}

const BEGIN = 'bench: begin';
const END = /bench: end (\d+)\n/;
const DONE = 'bench: done\n';

/** The guest's terminal hands on no longer lines (termios(3), canonical mode). */
const MAX_LINE = 4095;

/** The guest's job is 'console-lines'. */
export class GuestSession {
  readonly contender: Contender;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #timeoutMs: number;
  /** What the console printed since it was last looked at; for a failure also what it printed before. */
  #fresh = '';
  #all = '';
  #complaint = '';
  #ended = false;
  #wake: () => void = () => {};

  private constructor(contender: Contender, guest: LinuxGuest, timeoutMs: number) {
    this.contender = contender;
    this.#timeoutMs = timeoutMs;
    this.#child = spawn(contender.program, contender.linux(guest));
    this.#child.stdout.setEncoding('latin1').on('data', (text: string) => {
      const plain = text.replaceAll('\r', '');
      this.#fresh += plain;
      this.#all += plain;
      this.#wake();
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaint += text));
    this.#child.once('error', (error) => this.#end(error.message));
    this.#child.once('close', () => this.#end(''));
    // A contender that has died does not read; that it ended is reported by whoever waits.
    this.#child.stdin.on('error', () => {});
  }

  /** Boots; rejects if the guest does not come up, or later does not answer, in `timeoutMs`. */
  static async boot(contender: Contender, guest: LinuxGuest, timeoutMs = 300_000): Promise<GuestSession> {
    const session = new GuestSession(contender, guest, timeoutMs);
    try {
      await session.#take((text) => text.includes(`${GUEST_IS_UP}\n`));
      // Messages of the kernel would stand in the middle of what commands print.
      await session.run('dmesg -n 1');
    } catch (error) {
      session[Symbol.dispose]();
      throw error;
    }
    return session;
  }

  /** Runs one line for the shell, in the folder with the guest's files, without input. */
  async run(command: string): Promise<Timed> {
    const line = `echo ${BEGIN}; (${command}) </dev/null >/tmp/out 2>&1; echo bench: end $?; cat /tmp/out; echo bench: done\n`;
    if (line.length > MAX_LINE || command.includes('\n')) throw new RangeError(`too long for a line: ${command}`);
    this.#fresh = '';
    this.#child.stdin.write(line);
    await this.#take((text) => text.includes(`${BEGIN}\n`));
    const start = performance.now();
    const startCpu = cpuSecondsOfTree(this.#child.pid!);
    await this.#take((text) => END.test(text));
    const seconds = (performance.now() - start) / 1000;
    const cpuSeconds = cpuSecondsOfTree(this.#child.pid!) - startCpu;
    const text = await this.#take((printed) => printed.endsWith(DONE));
    const end = END.exec(text)!;
    const output = text.slice(end.index + end[0].length, -DONE.length);
    return { seconds, cpuSeconds, output, status: Number(end[1]) };
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }

  #end(reason: string): void {
    this.#ended = true;
    this.#complaint += reason;
    this.#wake();
  }

  /** Waits until what was printed since the last command satisfies `enough`, and gives it. */
  async #take(enough: (text: string) => boolean): Promise<string> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, this.#timeoutMs);
    try {
      while (!enough(this.#fresh)) {
        if (this.#ended || late) throw this.#failure(late ? 'does not answer' : 'ended');
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      return this.#fresh;
    } finally {
      clearTimeout(timer);
    }
  }

  #failure(what: string): Error {
    return new Error(`${this.contender.name} ${what}; ${this.#complaint}\nits console:\n${this.#all.slice(-2000)}`);
  }
}
