import { sharedStruct } from '../../memory/shared-struct.ts';
import type { ConfigSpace } from '../config-space.ts';
import type { Msix } from '../msix.ts';
import { ISR_CONFIG, ISR_QUEUE, NO_VECTOR } from './layout.ts';
import { INTERRUPT_LINE, NO_INTERRUPT } from './virtio-link.ts';

export const IsrState = sharedStruct({
  /** The bits of the ISR register. */
  status: 'u8',
});

/**
 * How a virtio device interrupts: by MSI-X, or by its INTx wire, which is asserted while the ISR register is not zero
 * (VIRTIO 1.3, 4.1.4.5). Any thread may call any of it.
 */
export class VirtioInterrupts {
  readonly #state: InstanceType<typeof IsrState>;
  readonly #config: ConfigSpace;
  readonly #msix: Msix;
  readonly #signal: (vector: number) => void;

  /** `signal` makes a vector send its message. */
  constructor(state: InstanceType<typeof IsrState>, config: ConfigSpace, msix: Msix, signal: (vector: number) => void) {
    this.#state = state;
    this.#config = config;
    this.#msix = msix;
    this.#signal = signal;
  }

  /** Where interrupts go that the driver wants on `vector`. */
  route(vector: number): number {
    if (!this.#msix.isEnabled) return INTERRUPT_LINE;
    return vector === NO_VECTOR ? NO_INTERRUPT : vector;
  }

  /** A queue that has no vector has used buffers. */
  queueUsed(): void {
    this.#raise(ISR_QUEUE);
  }

  /** The configuration has changed, or the device needs a reset. */
  configChanged(vector: number): void {
    this.#raise(ISR_CONFIG);
    const route = this.route(vector);
    if (route >= 0) this.#signal(route);
  }

  /** Reads the ISR register, which clears it. */
  acknowledge(): number {
    const { lock } = this.#state;
    lock.acquire();
    try {
      const { status } = this.#state;
      this.#state.status = 0;
      this.#config.setInterrupt(false);
      return status;
    } finally {
      lock.release();
    }
  }

  #raise(bit: number): void {
    const { lock } = this.#state;
    lock.acquire();
    try {
      this.#state.status |= bit;
      if (!this.#msix.isEnabled) this.#config.setInterrupt(true);
    } finally {
      lock.release();
    }
  }
}
