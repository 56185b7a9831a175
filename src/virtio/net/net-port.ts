import type { ScatterList } from '../../memory/scatter-list.ts';
import type { Offloads } from './net-config.ts';

/** Where frames go and come from, each with a header of NET_HEADER_SIZE bytes: one pair of queues has one. */
export interface NetPort {
  /** What to wait for until there is a frame, or room for one. */
  readonly fd: number;
  /**
   * Reads one frame into the first pieces of a list; what does not fit is lost. Returns how many bytes, -1 when there
   * is none now, and 0 when there will not be any more.
   */
  receive(list: ScatterList): number;
  /**
   * Sends one frame, or drops one that cannot be: what a guest says in a header is for the port to check. False when
   * there is no room for it now.
   */
  send(list: ScatterList): boolean;
  /** What frames that are received may leave to the guest. */
  setOffloads(offloads: Offloads): void;
  /** One of several ports of the same network takes part, or does not. */
  setActive(active: boolean): void;
  close(): void;
}
