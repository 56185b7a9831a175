import { closeAll } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { makeTap } from '../../base/tap.ts';
import type { NetSpec } from '../../device-process/device-spec.ts';
import { KEPT_STATE_SIZE } from '../../device-process/kept-state.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';

/** A network card on a TAP device, and what its driver has told it. One that was made for it stays, under its name, when the card's process ends. */
export class OwnTap implements OwnDevice {
  readonly #spec: NetSpec;
  readonly #made: readonly number[];
  readonly #kept: number;

  /** Throws `E_TAP`. */
  constructor(spec: NetSpec) {
    const { wire, pairs, address } = spec;
    this.#made = 'name' in wire ? makeTap(wire.name, pairs, address) : [];
    this.#kept = createMemfd('crosvm-kept-state', KEPT_STATE_SIZE);
    this.#spec = 'name' in wire ? { ...spec, wire: { kind: 'tap', queues: this.#made.map((fd) => ({ fd })) } } : spec;
  }

  async give(): Promise<GivenSpec> {
    return keeping({ ...this.#spec, kept: { fd: this.#kept } });
  }

  close(): void {
    closeAll([...this.#made, this.#kept]);
  }
}
