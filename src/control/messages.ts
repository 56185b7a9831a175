/**
 * The requests that a running VM takes over its control socket, and its answers. The wire form is the one of the
 * original crosvm: JSON with externally tagged variants. A variant without a payload is a string (`"Exit"`), one with a
 * payload an object of one key (`{"Name": payload}`).
 */
import { type BalloonCommand, type BalloonStatsAnswer, parseBalloonCommand } from './balloon.ts';
import { type DiskCommand, parseDiskCommand } from './disk.ts';
import { parseStatisticsRequest, type StatisticsAnswer, type StatisticsRequest } from './statistics.ts';

/** What the payload of a request must be. `parse` throws a `TypeError` that says what is wrong. */
export interface Payload<T> {
  /** Whether the variant is a bare string. */
  readonly unit: boolean;
  parse(value: unknown): T;
}

const none: Payload<undefined> = { unit: true, parse: () => undefined };

const statistics: Payload<StatisticsRequest> = { unit: false, parse: parseStatisticsRequest };

const balloon: Payload<BalloonCommand> = { unit: false, parse: parseBalloonCommand };
const disk: Payload<DiskCommand> = { unit: false, parse: parseDiskCommand };

/** Every request. */
export const requestTable = {
  /** Stop the VM, as if its power had been cut. */
  Exit: none,
  /** Stop the vCPUs until `Resume`. */
  Suspend: none,
  Resume: none,
  /** Press the power button: a request to the guest to shut itself down. */
  Powerbtn: none,
  /** Ask the guest for memory, or what it says of its memory. */
  BalloonCommand: balloon,
  /** Give a disk another size. */
  DiskCommand: disk,
  /** Say what the vCPUs have done. */
  Stats: statistics,
};

type Table = typeof requestTable;

/** A request as the server gets it: its name and its payload, checked. */
export type VmRequest = {
  [N in keyof Table]: { readonly name: N; readonly payload: ReturnType<Table[N]['parse']> };
}[keyof Table];

/** `Err` holds one sentence for a person. */
export type VmResponse =
  | 'Ok'
  | { readonly Err: string }
  | { readonly Stats: StatisticsAnswer }
  | { readonly BalloonStats: BalloonStatsAnswer };
