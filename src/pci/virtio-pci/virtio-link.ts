/** What a virtio transport and the device behind it have to say to each other. */
import type { FeatureSet } from '../../virtio/features.ts';

/** Where a queue's interrupts go: an MSI-X vector from 0 on, or one of these. */
export const INTERRUPT_LINE = -1;
export const NO_INTERRUPT = -2;

/** A queue as the driver has set it up. All guest physical addresses are in RAM, with the whole ring behind them. */
export interface QueueSetup {
  readonly index: number;
  readonly size: number;
  /** Descriptor area, driver area (available ring) and device area (used ring). */
  readonly desc: number;
  readonly driver: number;
  readonly device: number;
  readonly interrupt: number;
}

/**
 * A virtio device as its transport sees it. Calls come on the thread of the vCPU whose access made them necessary, under
 * the transport's lock. They may wait for the device, but not for ever: when it does not answer, or is gone, they throw a
 * `CrosvmError`.
 */
export interface VirtioLink {
  /** The device is lost and will not come back. */
  isGone(): boolean;
  /** The device is lost and another one takes its place soon: what it was to hear, that one is told by `restart`. */
  isAway(): boolean;
  /** The driver is ready. `queues` are those that it has enabled. */
  start(features: FeatureSet, queues: readonly QueueSetup[]): void;
  /** Another device has taken the place of one that was lost, and is to go on where that was. */
  restart(features: FeatureSet, queues: readonly QueueSetup[]): void;
  /** The driver resets a device that was started: when this returns the device uses no queue any more. */
  stop(): void;
  /** A queue of a started device interrupts in another way from now on. */
  setInterrupt(queue: number, interrupt: number): void;
  /** Fills all of `config` with the device's configuration. */
  readConfig(config: Uint8Array): void;
  writeConfig(offset: number, data: Uint8Array): void;
  /** The driver has made buffers of a queue available, and the doorbell was not wired to the device directly. */
  kick(queue: number): void;
  /** The doorbells were at `from` and are at `to` now, `NOTIFY_MULTIPLIER` bytes apart; -1 stands for nowhere. */
  moveDoorbells(from: number, to: number): void;
}
