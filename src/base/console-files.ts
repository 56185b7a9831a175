/** Files, pipes and terminals of the host behind the ports of a console. */
import { constants, fstatSync, statSync } from 'node:fs';
import type { ByteSink } from '../devices/device.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import type { ConsoleInput, ConsoleOutput } from '../virtio/console/console-port.ts';
import { close, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, open, setNonBlocking } from './fd.ts';
import { waitWritable } from './readable.ts';
import { readScattered, writeScattered } from './scatter-io.ts';

/** A file by its path, or one that is open already and becomes the console's. */
export type ConsoleFile = { readonly path: string } | { readonly fd: number };

/** Throws `SystemError` when it cannot be opened. */
export function consoleInput(file: ConsoleFile): ConsoleInput {
  const fd = openEnd(file, O_RDONLY);
  return {
    fd: isAlwaysReady(fd) ? -1 : fd,
    read: (list: ScatterList) => readScattered(fd, list),
    close: () => close(fd),
  };
}

/** Makes the file, or empties it. Throws `SystemError` when it cannot be opened. */
export function consoleOutput(path: string): ConsoleOutput {
  const fd = openEnd({ path }, O_WRONLY | O_CREAT | O_TRUNC);
  return {
    fd: isAlwaysReady(fd) ? -1 : fd,
    write: (list: ScatterList, from: number) => writeScattered(fd, list, from),
    close: () => close(fd),
  };
}

/** Pipes and sockets that have room at all take so many bytes without making anybody wait (pipe(7), PIPE_BUF). */
const ROOM = 4096;

/**
 * What others have open too, such as standard output: whether it blocks is theirs to say, so it is asked for room first. It
 * becomes the console's.
 */
export function sharedOutput(fd: number): ConsoleOutput {
  const isReady = isAlwaysReady(fd);
  return {
    fd: isReady ? -1 : fd,
    write: (list: ScatterList, from: number) =>
      isReady || waitWritable(fd, 0) ? writeScattered(fd, list, from, ROOM) : -1,
    close: () => close(fd),
  };
}

/** What takes all that it is given, and may lose it. It becomes the console's. */
export function sinkOutput(sink: ByteSink & { close(): void }): ConsoleOutput {
  const bytes = new Uint8Array(ROOM);
  return {
    fd: -1,
    write(list: ScatterList, from: number) {
      const n = list.copyTo(bytes, from);
      sink.write(bytes.subarray(0, n));
      return n;
    },
    close: () => sink.close(),
  };
}

function openEnd(file: ConsoleFile, flags: number): number {
  if ('fd' in file) {
    setNonBlocking(file.fd, true);
    return file.fd;
  }
  // A pipe that has both ends here neither waits for its other one nor ends with it.
  return open(file.path, (isPipe(file.path) ? O_RDWR : flags) | O_NONBLOCK);
}

function isPipe(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFIFO() ?? false;
}

/** epoll does not take regular files and block devices, which never keep anybody waiting; nor does it take /dev/null. */
function isAlwaysReady(fd: number): boolean {
  const { mode, rdev } = fstatSync(fd);
  const kind = mode & constants.S_IFMT;
  return (
    kind === constants.S_IFREG ||
    kind === constants.S_IFBLK ||
    (kind === constants.S_IFCHR && rdev >> 8 === MEMORY_DEVICES)
  );
}

/** The major number of /dev/null, /dev/zero and their like. */
const MEMORY_DEVICES = 1;
