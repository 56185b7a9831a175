import type { ScatterList } from '../memory/scatter-list.ts';
import type { ByteStore } from './byte-store.ts';

/** Carries out reads and writes of stores beside the caller. A token, from 0 to `capacity` - 1, names each of them. */
export interface TransferEngine {
  /** How many can be under way. */
  readonly capacity: number;
  /** An eventfd that is signalled whenever one has ended. */
  readonly eventFd: { readonly fd: number; clear(): number };
  /**
   * Takes a request: all bytes of `list`, which may be used for something else right away, while the memory it names is
   * in use until the end. False if it is not for this engine: the caller does it itself.
   */
  start(write: boolean, store: ByteStore, offset: number, list: ScatterList, token: number): boolean;
  /** The same for an fdatasync of a store, which covers the requests that have ended before. */
  startFlush(store: ByteStore, token: number): boolean;
  /** Hands what was taken to the system. */
  submit(): void;
  /** Returns when at least one of those under way has ended. */
  wait(): void;
  /** The token of one that has ended, or -1. Sets `complete` and `attempted`. */
  ended(): number;
  /** Whether it transferred everything; otherwise the caller tries again itself, and learns why. */
  readonly complete: boolean;
  /** Whether it was begun: a flush that failed is not tried again, as the system tells only once that writes were lost. */
  readonly attempted: boolean;
  close(): void;
}
