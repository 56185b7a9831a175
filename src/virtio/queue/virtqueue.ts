import type { CrosvmError } from '../../errors.ts';
import { type FeatureSet, hasFeature, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from '../features.ts';
import type { DescriptorChain, TakenChain } from './descriptor-chain.ts';

/** The largest queue that the split format allows (VIRTIO 1.3, 2.7). */
export const MAX_QUEUE_SIZE = 32768;

/** Where the three parts of a ring lie, as addresses of the front end. */
export interface RingAddresses {
  /** Descriptor table, or the packed descriptor ring. */
  readonly descriptor: number;
  /** Available ring, or the driver's event suppression structure. */
  readonly driver: number;
  /** Used ring, or the device's event suppression structure. */
  readonly device: number;
}

/**
 * The device's end of a queue, in either format. A driver that breaks the rules makes the queue `broken`: from then on
 * it has no more requests, and the device needs a reset. No method throws because of what a driver does.
 */
export interface Virtqueue {
  /** Number of descriptors. */
  readonly size: number;
  /** What the driver did wrong, once it did. */
  readonly broken: CrosvmError | undefined;

  /** Takes the next request, checked, into `chain`; false when there is none. */
  pop(chain: DescriptorChain): boolean;
  /**
   * Gives a request back, with the number of bytes that were written to its writable part. Any order will do.
   */
  push(chain: TakenChain, written: number): void;
  /** Gives the first `count` of some requests back, all at once: the driver sees none of them before the last. */
  pushTogether(chains: readonly TakenChain[], written: readonly number[], count: number): void;
  /** Undoes the last `pop`, of a request that was not pushed: it will be the next one again. */
  unpop(chain: TakenChain): void;

  /** Whether the driver wants an interrupt for what was pushed since this was last asked. */
  needsInterrupt(): boolean;
  /** Whether there is a request to take, now. */
  readonly hasNext: boolean;
  /** Whether the device has requests that it has not given back. */
  readonly isBusy: boolean;
  /** Whether the driver has to kick for further requests. */
  readonly notifies: boolean;
  /** The driver need not kick: we look by ourselves. */
  disableNotification(): void;
  /** The driver has to kick for further requests. True when some have come already, for which it may not have. */
  enableNotification(): boolean;

  /** Where the queue stands: what VHOST_USER_GET_VRING_BASE answers and SET_VRING_BASE says. */
  readonly base: number;
  /** Finds the ring in guest memory again, as its regions have changed; breaks the queue when it is gone. */
  relocate(): void;
}

/** What the negotiated features say of a ring. */
export interface RingFeatures {
  readonly eventIdx: boolean;
  readonly indirect: boolean;
}

export function ringFeatures(features: FeatureSet): RingFeatures {
  return {
    eventIdx: hasFeature(features, VIRTIO_F_EVENT_IDX),
    indirect: hasFeature(features, VIRTIO_F_INDIRECT_DESC),
  };
}

/**
 * Whether an index that moved from `old` to `now` passed the one that the other side waits for (VIRTIO 1.3, 2.7.10), all
 * modulo 2^16.
 */
export function passed(event: number, now: number, old: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
}
