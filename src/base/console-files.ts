/** Files, pipes and terminals of the host behind the ports of a console. */
import { constants, fstatSync, statSync } from 'node:fs';
import type { ByteSink } from '../devices/device.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import type { ConsoleInput, ConsoleOutput } from '../virtio/console/console-port.ts';
import { close, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, open, setNonBlocking } from './fd.ts';
import { waitWritable } from './readable.ts';
import { readScattered, writeScattered } from './scatter-io.ts';

/** Pipes and sockets that have room at all take so many bytes without making anybody wait (pipe(7), PIPE_BUF). */
const ROOM = 4096;

/** Opens what a console reads. Throws `SystemError`. */
export function openConsoleInput(path: string): number {
  return openEnd(path, O_RDONLY);
}

/** Opens what a console writes to: makes the file, or empties it. Throws `SystemError`. */
export function openConsoleOutput(path: string): number {
  return openEnd(path, O_WRONLY | O_CREAT | O_TRUNC);
}

/** A pipe that has both ends here neither waits for its other one nor ends with it. */
function openEnd(path: string, flags: number): number {
  const isPipe = statSync(path, { throwIfNoEntry: false })?.isFIFO() ?? false;
  return open(path, (isPipe ? O_RDWR : flags) | O_NONBLOCK);
}

/** Input from an open descriptor, which becomes the console's. */
export function consoleInput(fd: number): ConsoleInput {
  setNonBlocking(fd, true);
  return {
    fd: isAlwaysReady(fd) ? -1 : fd,
    read: (list: ScatterList) => readScattered(fd, list),
    close: () => close(fd),
  };
}

/**
 * Output to an open descriptor, which becomes the console's. Others may have it too, as they have standard output: whether
 * it blocks is theirs to say, so it is asked for room first.
 */
export function consoleOutput(fd: number): ConsoleOutput {
  if (isAlwaysReady(fd)) {
    return { fd: -1, write: (list, from) => writeScattered(fd, list, from), close: () => close(fd) };
  }
  return {
    fd,
    write: (list, from) => (waitWritable(fd, 0) ? writeScattered(fd, list, from, ROOM) : -1),
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
