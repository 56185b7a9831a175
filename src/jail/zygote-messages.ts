/** What a VMM and its zygote say to each other. `id` is the VMM's name for a device process. */
import type { DeviceSpec } from '../device-process/device-spec.ts';
import type { JailSpec } from './jail-spec.ts';

/** Descriptors come with it: where the device's messages go, its connection to the front end, that for its orders, and the
 * ones that its specification names (device-process/inherited.ts). */
export interface StartOrder {
  readonly kind: 'start';
  readonly id: number;
  /** What messages call the device. */
  readonly name: string;
  readonly spec: DeviceSpec;
  readonly jail: JailSpec;
}

export interface KillOrder {
  readonly kind: 'kill';
  readonly id: number;
}

export type ZygoteOrder = StartOrder | KillOrder;

/** A device process has ended, or could not be started. */
export interface EndReport {
  readonly id: number;
  /** `exit status 1`, `killed by SIGKILL`, `killed because its policy refuses the system call ptrace`, ... */
  readonly how: string;
}
