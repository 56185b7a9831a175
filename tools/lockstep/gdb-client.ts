/** A client of the GDB Remote Serial Protocol over a pair of pipes, as QEMU's stub speaks it. It blocks the thread. */
import { readSync, writeSync } from 'node:fs';
import { waitReadable } from '../../src/base/readable.ts';

/** How long QEMU may run to a breakpoint. */
const PATIENCE_MS = 20_000;
const INTERRUPT = '\x03';
const DOLLAR = 0x24;
const HASH = 0x23;

export class GdbClient {
  readonly #to: number;
  readonly #from: number;
  readonly #buffer = Buffer.alloc(1 << 16);
  #filled = 0;

  /** `to` and `from`: descriptors of the pipes to and from the stub. */
  constructor(to: number, from: number) {
    this.#to = to;
    this.#from = from;
    this.command('qSupported');
    this.command('QStartNoAckMode');
    writeSync(to, '+');
    // The stub lets registers be written only by those who have asked for their description.
    this.command('qXfer:features:read:target.xml:0,ff0');
  }

  /** The answer to a command, without its frame. */
  command(text: string): string {
    this.#send(text);
    return this.#receive();
  }

  #send(text: string): void {
    let sum = 0;
    for (let i = 0; i < text.length; i++) sum += text.charCodeAt(i);
    writeSync(this.#to, `$${text}#${(sum & 0xff).toString(16).padStart(2, '0')}`);
  }

  /** Like command, for those that answer OK. */
  order(text: string): void {
    const answer = this.command(text);
    if (answer !== 'OK') throw new Error(`QEMU's debugger stub answers ${answer || 'nothing'} to ${text}`);
  }

  /** Reads all registers of the `g` packet into `target`. */
  readRegisters(target: Buffer): void {
    if (target.write(this.command('g'), 'hex') !== target.length) {
      throw new Error("QEMU's debugger stub has another set of registers than expected");
    }
  }

  writeRegister(number: number, bytes: Uint8Array): void {
    this.order(`P${number.toString(16)}=${Buffer.from(bytes).toString('hex')}`);
  }

  /** Writes through the CPU's page tables, if it uses them; code that was translated from there is dropped. */
  writeMemory(address: number, bytes: Uint8Array): void {
    this.order(`M${address.toString(16)},${bytes.length.toString(16)}:${Buffer.from(bytes).toString('hex')}`);
  }

  step(): void {
    this.#stopped(this.command('s'));
  }

  /** Runs until `address` is about to be executed; false if that takes so long that it will never be. */
  runTo(address: bigint): boolean {
    const place = `0,${address.toString(16)},1`;
    this.order(`Z${place}`);
    this.#send('c');
    const arrived = waitReadable(this.#from, PATIENCE_MS);
    if (!arrived) writeSync(this.#to, INTERRUPT);
    const answer = this.#receive();
    if (arrived) this.#stopped(answer);
    this.order(`z${place}`);
    return arrived;
  }

  #stopped(answer: string): void {
    if (!answer.startsWith('T05') && !answer.startsWith('S05')) throw new Error(`QEMU stops with ${answer}`);
  }

  #receive(): string {
    const buffer = this.#buffer;
    for (;;) {
      const start = buffer.indexOf(DOLLAR);
      const end = start < 0 || start >= this.#filled ? -1 : buffer.indexOf(HASH, start);
      if (end >= 0 && end + 2 < this.#filled) {
        const answer = buffer.toString('latin1', start + 1, end);
        buffer.copyWithin(0, end + 3, this.#filled);
        buffer.fill(0, this.#filled - end - 3, this.#filled);
        this.#filled -= end + 3;
        return answer;
      }
      const n = readSync(this.#from, buffer, this.#filled, buffer.length - this.#filled, null);
      if (n === 0) throw new Error('QEMU has ended');
      this.#filled += n;
    }
  }
}
