import type { RecordLock } from '../attributes.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_UN } from '../constants.ts';
import { EAGAIN, ENOLCK } from '../errno.ts';

interface HeldLock {
  /** The open file by which it was taken. */
  readonly file: number;
  readonly owner: bigint;
  readonly type: number;
  readonly start: bigint;
  readonly end: bigint;
  readonly pid: number;
}

/** Ranges of a file that are locked: all are looked at for each lock. */
const MAX_LOCKS = 4096;

/** Locks of one file (fcntl(2), flock(2)). */
export class MemoryLocks {
  #held: HeldLock[] = [];
  /** By open file: LOCK_SH or LOCK_EX. */
  readonly #flocks = new Map<number, number>();

  /** Makes `lock` the one that is in its way, or F_UNLCK. */
  test(owner: bigint, lock: RecordLock): void {
    const other = this.#conflict(owner, lock);
    lock.type = other?.type ?? F_UNLCK;
    if (other === undefined) return;
    lock.start = other.start;
    lock.end = other.end;
    lock.pid = other.pid;
  }

  set(file: number, owner: bigint, lock: RecordLock): number {
    const { type, start, end, pid } = lock;
    if (type !== F_UNLCK && this.#conflict(owner, lock) !== undefined) return -EAGAIN;
    if (type !== F_UNLCK && this.#held.length >= MAX_LOCKS) return -ENOLCK;
    this.#held = this.#held.flatMap((held) => (held.owner === owner ? without(held, start, end) : [held]));
    if (type !== F_UNLCK) this.#held.push({ file, owner, type, start, end, pid });
    return 0;
  }

  release(owner: bigint): void {
    this.#held = this.#held.filter((held) => held.owner !== owner);
  }

  /** An open file is closed for good: who locks by those (F_OFD_SETLK) is heard of no more. */
  closed(file: number): void {
    this.#held = this.#held.filter((held) => held.file !== file);
    this.#flocks.delete(file);
  }

  lockFile(file: number, operation: number): number {
    if (operation === LOCK_UN) {
      this.#flocks.delete(file);
      return 0;
    }
    const isInTheWay = ([other, held]: [number, number]) =>
      other !== file && (held === LOCK_EX || operation === LOCK_EX);
    if ([...this.#flocks].some(isInTheWay)) return -EAGAIN;
    this.#flocks.set(file, operation);
    return 0;
  }

  #conflict(owner: bigint, { type, start, end }: RecordLock): HeldLock | undefined {
    return this.#held.find(
      (held) =>
        held.owner !== owner && held.start <= end && start <= held.end && (type === F_WRLCK || held.type !== F_RDLCK),
    );
  }
}

/** What is left of a lock when a range is taken out of it. */
function without(held: HeldLock, start: bigint, end: bigint): HeldLock[] {
  if (held.end < start || held.start > end) return [held];
  const parts: HeldLock[] = [];
  if (held.start < start) parts.push({ ...held, end: start - 1n });
  if (held.end > end) parts.push({ ...held, start: end + 1n });
  return parts;
}
