/**
 * What a VMM and a device process that it has spawned say to each other, until the process is in its jail. For the process
 * speaks the one that changes its root, too.
 */
import type { RootOfShare } from '../device-process/made-device.ts';
import type { StartOrder } from './start-order.ts';

export type SpawnOrder =
  | { readonly kind: 'start'; readonly order: StartOrder }
  /** The process has its root; it shuts itself in. The descriptor of `rooted` comes along. */
  | { readonly kind: 'enter' };

/** What becomes the root of a process. */
export interface WantedRoot {
  /** Folders of the host that are to be in it. */
  readonly folders: readonly string[];
  /** The folder that it is, instead. */
  readonly share: RootOfShare | undefined;
}

/** The process has what it needs of the host. */
export interface PreparedReport extends WantedRoot {
  readonly kind: 'prepared';
}

export type SpawnReport =
  /** The program runs, in its namespaces. */
  | { readonly kind: 'started' }
  | PreparedReport
  /** The root has been changed. With a shared folder, an open one comes along that lists the descriptors of the process. */
  | { readonly kind: 'rooted' };

/** What the root of a process of this number is to be. */
export interface RootJob extends WantedRoot {
  readonly pid: number;
  /** A folder of the host; an empty one in memory if it is not given, and none is shared. */
  readonly root: string | undefined;
}
