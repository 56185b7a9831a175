import type { ByteStore } from '../disk/byte-store.ts';
import type { TransferEngine } from '../disk/transfer-engine.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import { EventFd } from './event-fd.ts';
import { close } from './fd.ts';
import { addressOf, EAGAIN, EINTR, errno, libc } from './ffi.ts';
import { HostFile } from './host-file.ts';
import { fillIovecs, IOVEC_WORDS } from './iovec.ts';
import { MAP_SHARED, mmap, munmap, view } from './mmap.ts';
import { SystemError } from './system-error.ts';

const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const SYS_IO_URING_REGISTER = 427;

const IORING_FEAT_SINGLE_MMAP = 1;
const IORING_SETUP_R_DISABLED = 1 << 6;
const IORING_ENTER_GETEVENTS = 1;
const IORING_REGISTER_EVENTFD = 4;
const IORING_REGISTER_RESTRICTIONS = 11;
const IORING_REGISTER_ENABLE_RINGS = 12;
const IORING_RESTRICTION_SQE_OP = 1;
const IORING_OFF_SQ_RING = 0;
const IORING_OFF_SQES = 0x1000_0000;
const IORING_OP_READV = 1;
const IORING_OP_WRITEV = 2;
const IORING_OP_FSYNC = 3;
const IORING_FSYNC_DATASYNC = 1;
const MAP_POPULATE = 0x8000;

/** Words of struct io_uring_params, struct io_uring_sqe and struct io_uring_cqe. */
const PARAMS_WORDS = 30;
const SQ_ENTRIES = 0;
const CQ_ENTRIES = 1;
const FLAGS = 2;
const FEATURES = 5;
const SQ_OFFSETS = 10;
const CQ_OFFSETS = 20;
const SQE_WORDS = 16;
const CQE_WORDS = 4;
/** struct io_uring_restriction: u16 of what kind, u8 the operation that is allowed. */
const RESTRICTION_BYTES = 16;
/** In both offset tables. */
const HEAD = 0;
const TAIL = 1;
const RING_MASK = 2;
/** In that of the submission queue, and in that of the completion queue. */
const SQ_ARRAY = 6;
const CQ_CQES = 5;

const ECANCELED = 125;

/** Pieces of a request, as many as a request of a driver can have; one with more is not for the ring. */
const PIECES = 256;

const cSyscall = libc<(number: number, a: number, b: number, c: number, d: number, e: number, f: number) => number>(
  'int64_t syscall(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)',
);

/**
 * io_uring(7): reads, writes and flushes that the kernel carries out beside us, and nothing else: the ring refuses all other
 * operations, which no seccomp filter would see. One thread uses it. `eventFd` wakes it when something has ended.
 */
export class IoUring implements TransferEngine {
  readonly capacity: number;
  readonly eventFd: EventFd;
  complete = false;
  attempted = false;
  readonly #fd: number;
  readonly #address: number;
  readonly #ringBytes: number;
  readonly #sqesAddress: number;
  readonly #sqesBytes: number;
  readonly #ring: Int32Array;
  readonly #sqes: Uint32Array;
  /** Where words lie in `#ring`. */
  readonly #sqTail: number;
  readonly #sqArray: number;
  readonly #sqMask: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  /** Pieces of each request that is under way, and what the kernel says when it is done: how many bytes. */
  readonly #iovecs: Uint32Array;
  readonly #iovecsAddress: number;
  readonly #results: Float64Array;
  #unsubmitted = 0;

  /** A ring for `entries` requests at a time; or undefined where the kernel has none (before 5.10) or forbids it. */
  static open(entries: number): IoUring | undefined {
    const params = new Uint32Array(PARAMS_WORDS);
    params[FLAGS] = IORING_SETUP_R_DISABLED;
    const fd = cSyscall(SYS_IO_URING_SETUP, entries, addressOf(params), 0, 0, 0, 0);
    if (fd === -1) return undefined;
    if ((params[FEATURES]! & IORING_FEAT_SINGLE_MMAP) === 0) {
      close(fd);
      return undefined;
    }
    const ring = new IoUring(fd, params);
    if (ring.#enable()) return ring;
    ring.close();
    return undefined;
  }

  private constructor(fd: number, params: Uint32Array) {
    const at = (table: number, field: number) => params[table + field]! / 4;
    this.#fd = fd;
    this.capacity = params[SQ_ENTRIES]!;
    const sqBytes = params[SQ_OFFSETS + SQ_ARRAY]! + this.capacity * 4;
    const cqBytes = params[CQ_OFFSETS + CQ_CQES]! + params[CQ_ENTRIES]! * CQE_WORDS * 4;
    this.#ringBytes = Math.max(sqBytes, cqBytes);
    this.#sqesBytes = this.capacity * SQE_WORDS * 4;
    const flags = MAP_SHARED | MAP_POPULATE;
    this.#address = mmap({ length: this.#ringBytes, fd, offset: IORING_OFF_SQ_RING, flags });
    this.#sqesAddress = mmap({ length: this.#sqesBytes, fd, offset: IORING_OFF_SQES, flags });
    this.#ring = new Int32Array(view(this.#address, this.#ringBytes));
    this.#sqes = new Uint32Array(view(this.#sqesAddress, this.#sqesBytes));
    this.#sqTail = at(SQ_OFFSETS, TAIL);
    this.#sqArray = at(SQ_OFFSETS, SQ_ARRAY);
    this.#sqMask = this.#ring[at(SQ_OFFSETS, RING_MASK)]!;
    this.#cqHead = at(CQ_OFFSETS, HEAD);
    this.#cqTail = at(CQ_OFFSETS, TAIL);
    this.#cqMask = this.#ring[at(CQ_OFFSETS, RING_MASK)]!;
    this.#cqes = at(CQ_OFFSETS, CQ_CQES);
    this.#iovecs = new Uint32Array(this.capacity * PIECES * IOVEC_WORDS);
    this.#iovecsAddress = addressOf(this.#iovecs);
    this.#results = new Float64Array(this.capacity);
    this.eventFd = EventFd.create();
  }

  /** Restricts the ring to what we do with it, and lets it begin; false where the kernel cannot. */
  #enable(): boolean {
    const fds = Int32Array.of(this.eventFd.fd);
    const operations = [IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC];
    const allowed = new Uint8Array(operations.length * RESTRICTION_BYTES);
    for (const [i, operation] of operations.entries()) {
      allowed[i * RESTRICTION_BYTES] = IORING_RESTRICTION_SQE_OP;
      allowed[i * RESTRICTION_BYTES + 2] = operation;
    }
    return (
      this.#register(IORING_REGISTER_EVENTFD, addressOf(fds), 1) &&
      this.#register(IORING_REGISTER_RESTRICTIONS, addressOf(allowed), operations.length) &&
      this.#register(IORING_REGISTER_ENABLE_RINGS, 0, 0)
    );
  }

  #register(operation: number, address: number, count: number): boolean {
    return cSyscall(SYS_IO_URING_REGISTER, this.#fd, operation, address, count, 0, 0) === 0;
  }

  start(write: boolean, store: ByteStore, offset: number, list: ScatterList, token: number): boolean {
    if (!(store instanceof HostFile) || list.count > PIECES) return false;
    // What makes the file longer is for the file to know.
    if (offset + list.length > store.size) return false;
    const first = token * PIECES;
    const count = fillIovecs(this.#iovecs, first, list, 0, 0, list.length, PIECES);
    const fd = store.descriptorFor(this.#iovecs, first, count, offset, write);
    const sqe = this.#entry(write ? IORING_OP_WRITEV : IORING_OP_READV, fd, token);
    const iovecsAt = this.#iovecsAddress + first * IOVEC_WORDS * 4;
    this.#sqes[sqe + 2] = offset;
    this.#sqes[sqe + 3] = offset / 0x1_0000_0000;
    this.#sqes[sqe + 4] = iovecsAt;
    this.#sqes[sqe + 5] = iovecsAt / 0x1_0000_0000;
    this.#sqes[sqe + 6] = count;
    this.#add(token, list.length);
    return true;
  }

  startFlush(store: ByteStore, token: number): boolean {
    const fd = store instanceof HostFile ? store.descriptorToFlush : undefined;
    if (fd === undefined) return false;
    const sqe = this.#entry(IORING_OP_FSYNC, fd, token);
    this.#sqes[sqe + 7] = IORING_FSYNC_DATASYNC;
    this.#add(token, 0);
    return true;
  }

  submit(): void {
    if (this.#unsubmitted > 0) this.#enter(0);
  }

  wait(): void {
    this.#enter(1);
  }

  ended(): number {
    const head = this.#ring[this.#cqHead]!;
    if (head === Atomics.load(this.#ring, this.#cqTail)) return -1;
    const cqe = this.#cqes + (head & this.#cqMask) * CQE_WORDS;
    const token = this.#ring[cqe]!;
    const result = this.#ring[cqe + 2]!;
    this.complete = result === this.#results[token];
    this.attempted = result !== -EAGAIN && result !== -ECANCELED && result !== -EINTR;
    Atomics.store(this.#ring, this.#cqHead, (head + 1) | 0);
    return token;
  }

  /** Nothing may be under way. */
  close(): void {
    munmap(this.#address, this.#ringBytes);
    munmap(this.#sqesAddress, this.#sqesBytes);
    close(this.#fd);
    this.eventFd.close();
  }

  /** Begins the next entry of the submission queue: its first word. */
  #entry(operation: number, fd: number, token: number): number {
    const index = this.#ring[this.#sqTail]! & this.#sqMask;
    const sqe = index * SQE_WORDS;
    this.#sqes.fill(0, sqe, sqe + SQE_WORDS);
    this.#sqes[sqe] = operation;
    this.#sqes[sqe + 1] = fd;
    this.#sqes[sqe + 8] = token;
    this.#ring[this.#sqArray + index] = index;
    return sqe;
  }

  /** The entry is complete; the kernel will say `result` of it if all goes well. */
  #add(token: number, result: number): void {
    this.#results[token] = result;
    Atomics.store(this.#ring, this.#sqTail, (this.#ring[this.#sqTail]! + 1) | 0);
    this.#unsubmitted++;
  }

  /** Submits everything, and returns when `least` of all have ended and were not asked for. */
  #enter(least: number): void {
    do {
      const flags = least > 0 ? IORING_ENTER_GETEVENTS : 0;
      const n = cSyscall(SYS_IO_URING_ENTER, this.#fd, this.#unsubmitted, least, flags, 0, 0);
      if (n >= 0) {
        this.#unsubmitted -= n;
        continue;
      }
      const reason = errno();
      if (reason !== EINTR && reason !== EAGAIN) throw new SystemError('io_uring_enter', reason);
    } while (this.#unsubmitted > 0);
  }
}
