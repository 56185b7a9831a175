/** What a VMM and its zygote say to each other. `id` is the VMM's name for a device process. */
import type { StartOrder } from './start-order.ts';

/** `DeviceDescriptors` come with it. */
export interface ZygoteStartOrder extends StartOrder {
  readonly kind: 'start';
  readonly id: number;
}

export interface KillOrder {
  readonly kind: 'kill';
  readonly id: number;
}

export type ZygoteOrder = ZygoteStartOrder | KillOrder;

/** A device process has ended, or could not be started. */
export interface EndReport {
  readonly kind: 'end';
  readonly id: number;
  /** `exit status 1`, `killed by SIGKILL`, `killed for the system call ptrace`, ... */
  readonly how: string;
}

/** Its forks work. It says this before anything else; one that ends without that is of no use on this host. */
export interface FitReport {
  readonly kind: 'fit';
}

export type ZygoteReport = EndReport | FitReport;
