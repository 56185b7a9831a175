/** What a VMM and its zygote say to each other. `id` is the VMM's name for a device process. */
import type { DeviceSpec } from '../device-process/device-spec.ts';
import type { JailSpec } from './jail-spec.ts';

export type ZygoteOrder =
  /** Descriptors come with it: where the device's messages go, and its connection to the front end. */
  | {
      readonly kind: 'start';
      readonly id: number;
      readonly name: string;
      readonly spec: DeviceSpec;
      readonly jail: JailSpec;
    }
  | { readonly kind: 'kill'; readonly id: number };

export type ZygoteReport =
  | { readonly kind: 'started'; readonly id: number; readonly pid: number }
  /** How it has ended: `exit status 1`, `killed by signal 9`, ... */
  | { readonly kind: 'ended'; readonly id: number; readonly how: string };
