import { close, closeAll } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { makeTap } from '../../base/tap.ts';
import { KEPT_STATE_SIZE } from '../../device-process/kept-state.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';
import type { BareCard, TapSource } from './own-source.ts';

/** The TAP device of a card: a descriptor for each pair of queues. Throws `E_TAP`. */
export function openWire({ tap, address }: Pick<TapSource, 'tap' | 'address'>): readonly number[] {
  return 'fd' in tap ? [tap.fd] : makeTap(tap.name, tap.pairs, address);
}

/**
 * A network card on a TAP device, and what its driver has told it. The TAP device stays, under its name and with what the
 * host has set for it, when the card's process ends.
 */
export class OwnTap implements OwnDevice {
  readonly #card: BareCard;
  readonly #fds: readonly number[];
  readonly #kept: number;

  /** Throws `E_TAP`. */
  constructor({ card, ...wire }: TapSource) {
    this.#card = card;
    this.#fds = openWire(wire);
    this.#kept = createMemfd('crosvm-kept-state', KEPT_STATE_SIZE);
  }

  async give(): Promise<GivenSpec> {
    const queues = this.#fds.map((fd) => ({ fd }));
    return keeping({ ...this.#card, wire: { kind: 'tap', queues }, kept: { fd: this.#kept } });
  }

  close(): void {
    closeAll(this.#fds);
    close(this.#kept);
  }
}
