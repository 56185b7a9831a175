import { close, O_CLOEXEC, O_NONBLOCK } from './fd.ts';
import { EAGAIN, EINTR, errno, libc } from './ffi.ts';
import { callMemory } from './file-calls.ts';
import { SystemError } from './system-error.ts';

/** What to be told of, and what an event is about (inotify(7)). */
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
/** Events were lost; of no watch. */
export const IN_Q_OVERFLOW = 0x4000;
/** The watch is no more: it was taken away, or what it was of is gone. */
export const IN_IGNORED = 0x8000;
/** Only of a folder; else the errno is ENOTDIR. */
export const IN_ONLYDIR = 0x0100_0000;
/** Nothing about files that have no name in the folder any more. */
export const IN_EXCL_UNLINK = 0x0400_0000;

/** struct inotify_event: i32 wd, u32 mask, cookie, len, and as many bytes of name, with zeroes behind it. */
const HEADER_SIZE = 16;
const BUFFER_SIZE = 0x1_0000;

/** One for all: it is never given back, and a guest may have us make watches anew as often as it likes. */
const buffer = callMemory(BUFFER_SIZE);
const view = new DataView(buffer.bytes.buffer);

const cInit = libc<(flags: number) => number>('int inotify_init1(int)');
const cAdd = libc<(fd: number, path: number, mask: number) => number>('int inotify_add_watch(int, int64_t, uint32_t)');
const cRemove = libc<(fd: number, watch: number) => number>('int inotify_rm_watch(int, int)');
const cRead = libc<(fd: number, address: number, n: number) => number>('int64_t read(int, int64_t, int64_t)');

/** Tells of what happens to files and in folders, whoever does it (inotify(7)). Never blocks. */
export class Inotify {
  /** Readable when there are events. */
  readonly fd: number;
  /** Where the names of events lie, each with a zero byte behind it, until the next `fill` of any. */
  readonly memory = buffer;
  #at = 0;
  #end = 0;
  #next = 0;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Undefined if the user may not have another one (fs.inotify.max_user_instances). */
  static create(): Inotify | undefined {
    const fd = cInit(O_NONBLOCK | O_CLOEXEC);
    return fd === -1 ? undefined : new Inotify(fd);
  }

  /** Watches what is at a path; returns the number of the watch, the same for the same file, or a negative errno. */
  watch(path: number, mask: number): number {
    const watch = cAdd(this.fd, path, mask);
    return watch === -1 ? -errno() : watch;
  }

  /** Does nothing for a watch that has ended by itself. */
  unwatch(watch: number): void {
    cRemove(this.fd, watch);
  }

  /** Gets the events that have come, or as many of them as fit; false if there are none. */
  fill(): boolean {
    this.#next = this.#end = 0;
    for (;;) {
      const n = cRead(this.fd, buffer.address, BUFFER_SIZE);
      if (n !== -1) this.#end = n;
      else {
        const reason = errno();
        if (reason === EINTR) continue;
        if (reason !== EAGAIN) throw new SystemError('read(inotify)', reason);
      }
      return this.#end > 0;
    }
  }

  /** Goes to the next event that `fill` has got; false behind the last one. */
  next(): boolean {
    if (this.#next === this.#end) return false;
    this.#at = this.#next;
    this.#next += HEADER_SIZE + view.getUint32(this.#at + 12, true);
    return true;
  }

  /** The watch that the event is of; -1 if of none. */
  get source(): number {
    return view.getInt32(this.#at, true);
  }

  /** IN_ flags. */
  get mask(): number {
    return view.getUint32(this.#at + 4, true);
  }

  /** Where the name starts in `memory`. */
  get nameStart(): number {
    return this.#at + HEADER_SIZE;
  }

  /** In bytes; 0 if the event is about what is watched itself. */
  get nameLength(): number {
    const start = this.nameStart;
    return start === this.#next ? 0 : buffer.bytes.indexOf(0, start) - start;
  }

  close(): void {
    close(this.fd);
  }
}
