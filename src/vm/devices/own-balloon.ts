import { close } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import type { BalloonSpec } from '../../device-process/device-spec.ts';
import { KEPT_STATE_SIZE } from '../../device-process/kept-state.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';

/** A balloon, and what it was last asked for and has. */
export class OwnBalloon implements OwnDevice {
  readonly #spec: BalloonSpec;
  readonly #kept = createMemfd('crosvm-kept-state', KEPT_STATE_SIZE);

  constructor(spec: BalloonSpec) {
    this.#spec = spec;
  }

  async give(): Promise<GivenSpec> {
    return keeping({ ...this.#spec, kept: { fd: this.#kept } });
  }

  close(): void {
    close(this.#kept);
  }
}
