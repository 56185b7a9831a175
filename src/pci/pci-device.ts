import type { ConfigSpace } from './config-space.ts';

/**
 * A function on the PCI bus. Every thread has an object of its own over the same shared state; accesses come on the
 * thread of the vCPU that makes them.
 */
export interface PciDevice {
  readonly config: ConfigSpace;
  /** Fills all of `data`. `offset` + `data.length` never goes beyond the BAR. */
  readBar(bar: number, offset: number, data: Uint8Array): void;
  writeBar(bar: number, offset: number, data: Uint8Array): void;
  /** Answers a read of the configuration space itself and returns true, or leaves it to `config`. */
  readConfig?(register: number, data: Uint8Array): boolean;
  /** Likewise for a write. */
  writeConfig?(register: number, data: Uint8Array): boolean;
  /** The guest wrote `length` bytes from `register` on of `config`. Called without locks on the thread of the write. */
  configWritten?(register: number, length: number): void;
  /** The guest moved, enabled or disabled BARs. Called without locks on the thread of the write. */
  barsMoved?(): void;
}
