/** What a VMM and a device process that it has spawned say to each other, until the process is in its jail. */
import type { StartOrder } from './start-order.ts';

export type SpawnOrder =
  | { readonly kind: 'start'; readonly order: StartOrder }
  /** The process has its root; it shuts itself in. */
  | { readonly kind: 'enter' };

/** The program runs, in its namespaces. */
export interface StartedReport {
  readonly kind: 'started';
}

/** The process has what it needs of the host. `pid` is its number there; `folders` are to be in its jail. */
export interface PreparedReport {
  readonly kind: 'prepared';
  readonly pid: number;
  readonly folders: readonly string[];
}

export type SpawnReport = StartedReport | PreparedReport;
