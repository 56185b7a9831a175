import type { DeviceOrder } from '../../device-process/device-orders.ts';
import type { BalloonSpec } from '../../device-process/device-spec.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';

/** A balloon, with the size that it was last asked for. */
export class OwnBalloon implements OwnDevice {
  #spec: BalloonSpec;

  constructor(spec: BalloonSpec) {
    this.#spec = spec;
  }

  async give(): Promise<GivenSpec> {
    return keeping(this.#spec);
  }

  obeyed(order: DeviceOrder): void {
    if (order.kind === 'inflateBalloon') this.#spec = { ...this.#spec, size: order.size };
  }

  close(): void {}
}
