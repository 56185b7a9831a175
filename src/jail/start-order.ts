import type { DeviceSpec } from '../device-process/device-spec.ts';
import type { JailSpec } from './jail-spec.ts';

/** A device process that is to be. */
export interface StartOrder {
  /** What messages call the device. */
  readonly name: string;
  readonly spec: DeviceSpec;
  readonly jail: JailSpec;
}

/**
 * The descriptors that a device process gets: where its messages go, its connection to the front end, that for its orders,
 * and those that its specification names (device-process/inherited.ts).
 */
export type DeviceDescriptors = readonly [messages: number, frontEnd: number, orders: number, ...inherited: number[]];
