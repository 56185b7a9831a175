import type { Fields } from '../fields.ts';
import type { VirtioDeviceName } from './device-types.ts';
import type { FeatureSet } from './features.ts';
import type { DeviceMemory } from './queue/device-memory.ts';
import type { Virtqueue } from './queue/virtqueue.ts';

/**
 * A virtio device without its transport: what it does with requests. It knows neither how it got its queues nor where
 * its process is. Everything happens on one thread, synchronously: a method returns when its work is done, or has been
 * handed to the system, which tells of its end by a descriptor that the device watches.
 */
export interface VirtioDevice {
  readonly type: VirtioDeviceName;
  /** The features of this device. Those of rings and transports are added by whoever runs it. */
  readonly features: FeatureSet;
  /** The largest size of each queue, a power of two. */
  readonly queueSizes: readonly number[];
  /** The configuration space as the driver reads it. Changes are announced with `host.configChanged`. */
  readonly config: Uint8Array;
  /** Sizes of its shared memories (VIRTIO 1.3, 2.10) in bytes, by their ids; without it there is none. */
  readonly sharedMemory?: readonly number[];

  /** Comes before anything else, once. */
  attach(host: DeviceHost): void;
  /** What driver and device agreed on, a part of `features`. Comes before any queue starts. */
  negotiated(features: FeatureSet): void;
  /**
   * The driver has written `bytes` to the configuration space at `offset`; they lie within it. A device without it has
   * nothing to write there.
   */
  configWritten?(offset: number, bytes: Uint8Array): void;
  /**
   * A queue has, or may have, new requests. Does a bounded number of them; true when it stopped before the queue was
   * empty, to be called again soon.
   */
  serve(index: number, queue: Virtqueue): boolean;
  /** A queue ends, or ends for now. A request that the device holds is pushed, or goes back with `queue.unpop`. */
  queueStopping?(index: number, queue: Virtqueue): void;
  /** Guest memory may go away: nothing that the device has under way may use it when this returns. */
  memoryChanging?(): void;
  /** What the device knows besides its queues and what was negotiated: values that JSON can say. No queue runs. */
  saveState?(): Fields;
  /**
   * Becomes as a device was that has said this of itself; also before anything is negotiated. No queue runs. Throws a
   * `TypeError`, with nothing changed, for what cannot be.
   */
  loadState?(state: Fields): void;
  /** The driver starts again: all state is as at the beginning. No queue runs. */
  reset(): void;
  /** Gives files and other resources back. */
  close(): void;
}

/** What a device may wait for on a descriptor (epoll_ctl(2)): something to read, or an end; and room to write. */
export const EPOLLIN = 1;
export const EPOLLOUT = 4;

/** A part of one of a device's shared memories, in whole pages of 4 KiB. */
export interface SharedRange {
  /** Which shared memory. */
  readonly id: number;
  readonly offset: number;
  readonly length: number;
}

/** A piece of a file in a part of a shared memory. */
export interface SharedPiece extends SharedRange {
  /** May be closed when the piece is mapped. */
  readonly fd: number;
  /** The piece may go beyond the file's end; a driver that touches it there ends its VM. */
  readonly fdOffset: number;
  /** Otherwise what the driver stores there is lost. */
  readonly writable: boolean;
}

/** What a device may ask of whoever runs it. */
export interface DeviceHost {
  readonly memory: DeviceMemory;
  /** A queue that runs now. */
  queue(index: number): Virtqueue | undefined;
  /** Interrupts the driver, if it wants that, for what was pushed to the queue. */
  interrupt(index: number): void;
  /** Serves a queue again soon, as there may be something to do for it that the driver has not kicked for. */
  serveSoon(index: number): void;
  /** Tells the driver that the configuration space has changed. */
  configChanged(): void;
  /** Whether the driver sees the shared memories: not every transport has them. Known once a queue runs. */
  readonly hasSharedMemory: boolean;
  /**
   * Shows the driver a piece of a file, before it returns. It may take the place of just one other piece, so that the driver
   * never sees nothing there; not every front end can do that. Throws `E_SHARED_MEMORY` if it cannot be, and other
   * `CrosvmError`s if the front end is gone.
   */
  mapShared(piece: SharedPiece): void;
  /** Takes away what was mapped as just this. All is taken away by a reset. Throws like `mapShared`. */
  unmapShared(range: SharedRange): void;
  /** Calls back with the EPOLL flags whenever one of `events` is true of a descriptor, or it has an error. */
  watch(fd: number, events: number, callback: (events: number) => void): void;
  /** Waits for something else on a watched descriptor. Errors and hang-ups come all the same. */
  rewatch(fd: number, events: number): void;
  /** Does nothing for a descriptor that is not watched. */
  unwatch(fd: number): void;
}
