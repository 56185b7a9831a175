/** Brings bytes from outside to a serial port's input: from standard input, or from a file. */
import { createReadStream, fstatSync, readFileSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { close, O_NONBLOCK, O_RDONLY, O_RDWR, open } from '../base/fd.ts';
import { enterRawMode, isTerminal } from '../base/terminal.ts';
import { CrosvmError } from '../errors.ts';
import { EscapeKeys } from './escape-keys.ts';
import { type InputPort, InputPump, type Timers } from './input-pump.ts';

const STDIN = 0;
/** The most input that is kept in memory, in bytes. */
const MAX_SCRIPT = 64 << 20;

/** A source that is connected to a port. */
export interface ConsoleInput {
  /** The port has room again. */
  room(): void;
  /** Disconnects; a terminal gets its mode back. */
  close(): void;
}

const timers: Timers = {
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/**
 * Feeds standard input to `port`. A terminal is put into raw mode and `quit` called on Ctrl-A x; of anything else, the
 * end is passed on as Ctrl-D.
 */
export function connectStdin(port: InputPort, quit: () => void): ConsoleInput {
  if (!isTerminal(STDIN)) return connect(process.stdin, new InputPump(port, timers), () => process.stdin.pause());
  const pump = new InputPump(port, timers);
  const keys = new EscapeKeys();
  const onData = (typed: Uint8Array) => {
    const forGuest = keys.filter(typed);
    if (forGuest === undefined) quit();
    else pump.push(forGuest, () => {});
  };
  const restore = enterRawMode();
  process.stdin.on('data', onData);
  return {
    room: () => pump.room(),
    close() {
      pump.close();
      process.stdin.off('data', onData);
      process.stdin.pause();
      restore();
    },
  };
}

/** A source of input that is open but not connected yet. */
export interface InputFile {
  connect(port: InputPort): ConsoleInput;
  close(): void;
}

/** Opens a file, FIFO or device to read input from. Throws `E_SERIAL`. */
export function openInputFile(path: string): InputFile {
  const stream = openStream(path);
  return {
    connect: (port) => connect(stream, new InputPump(port, timers), () => stream.destroy()),
    close: () => void stream.destroy(),
  };
}

/**
 * All of standard input once it has come to its end, or what there is of it when `abort` comes first; undefined if it is a
 * terminal. Throws `E_SERIAL`.
 */
export async function readStdin(abort?: AbortSignal): Promise<Uint8Array | undefined> {
  if (isTerminal(STDIN)) return undefined;
  const { stdin } = process;
  const giveUp = () => void stdin.destroy();
  abort?.addEventListener('abort', giveUp);
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of stdin as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > MAX_SCRIPT) throw tooLong('standard input');
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof CrosvmError) throw cause;
    if (abort?.aborted !== true) {
      throw new CrosvmError('E_SERIAL', `cannot read standard input: ${(cause as Error).message}`, { cause });
    }
  } finally {
    abort?.removeEventListener('abort', giveUp);
  }
  return Buffer.concat(chunks);
}

/** All that a file holds; undefined for what has no end, such as a FIFO. Throws `E_SERIAL`. */
export function readInputFile(path: string): Uint8Array | undefined {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return undefined;
    if (stat.size > MAX_SCRIPT) throw tooLong(path);
    return readFileSync(path);
  } catch (cause) {
    if (cause instanceof CrosvmError) throw cause;
    throw new CrosvmError('E_SERIAL', `cannot read input: ${(cause as Error).message}`, { cause });
  }
}

function tooLong(name: string): CrosvmError {
  return new CrosvmError('E_SERIAL', `${name}: more than ${MAX_SCRIPT >> 20} MiB of input for a deterministic guest`);
}

function openStream(path: string): Readable {
  let fd: number | undefined;
  try {
    // Opening a FIFO waits for a writer, and reading it ends with the last one: being a writer too avoids both.
    fd = open(path, O_RDONLY | O_NONBLOCK);
    if (!fstatSync(fd).isFIFO()) return createReadStream('', { fd: checkReadable(fd, path) });
    close(fd);
    fd = undefined;
    fd = open(path, O_RDWR | O_NONBLOCK);
    return new Socket({ fd, readable: true, writable: false });
  } catch (cause) {
    if (fd !== undefined) close(fd);
    throw new CrosvmError('E_SERIAL', `cannot read input: ${(cause as Error).message}`, { cause });
  }
}

function checkReadable(fd: number, path: string): number {
  if (fstatSync(fd).isDirectory()) throw new CrosvmError('E_SERIAL', `${path} is a folder`);
  return fd;
}

function connect(stream: Readable, pump: InputPump, disconnect: () => void): ConsoleInput {
  const onData = (bytes: Uint8Array) => {
    if (!pump.push(bytes, () => stream.resume())) stream.pause();
  };
  const onEnd = () => pump.end();
  stream.on('data', onData).once('end', onEnd).once('error', onEnd);
  return {
    room: () => pump.room(),
    close() {
      pump.close();
      stream.off('data', onData);
      disconnect();
    },
  };
}
