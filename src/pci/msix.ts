import { sharedStruct } from '../memory/shared-struct.ts';
import type { CapabilitySpec, ConfigSpace } from './config-space.ts';

const MSIX_CAPABILITY_ID = 0x11;
/** What a function can have here; the specification allows 2048. */
const MAX_MSIX_VECTORS = 128;
const MSIX_ENTRY_SIZE = 16;

/** Message Control, behind the id and the next pointer (PCI 3.0, 6.8.2.3). */
const CONTROL = 2;
const FUNCTION_MASK = 1 << 14;
const ENABLE = 1 << 15;

/** Words of a table entry (6.8.2.6-9). */
const ADDRESS = 0;
const ADDRESS_HIGH = 1;
const DATA = 2;
const VECTOR_CONTROL = 3;
const ENTRY_WORDS = 4;
const MASKED = 1;

/** Where the table or the pending bits are. */
export interface MsixPlace {
  readonly bar: number;
  /** A multiple of 8. */
  readonly offset: number;
}

/**
 * The interrupts that vectors stand for. Each has a source that devices signal; what is signalled while the vector is not
 * connected stays pending there. Called under the lock of the MSI-X state.
 */
export interface MsixSources {
  /** From now on (and at once, if it is pending) vector `vector` sends this message whenever it is signalled. */
  connect(vector: number, address: number, data: number): void;
  disconnect(vector: number): void;
  isPending(vector: number): boolean;
}

export const MsixState = sharedStruct({
  table: ['u32', MAX_MSIX_VECTORS * ENTRY_WORDS],
  /** Vectors that are connected now. */
  connected: ['u8', MAX_MSIX_VECTORS],
  initialized: 'u8',
});

/** The capability for `vectors` vectors: what the configuration space needs to know. */
export function msixCapability(vectors: number, table: MsixPlace, pending: MsixPlace): CapabilitySpec {
  const body = new Uint8Array(10);
  const view = new DataView(body.buffer);
  view.setUint16(0, vectors - 1, true);
  view.setUint32(2, table.offset | table.bar, true);
  view.setUint32(6, pending.offset | pending.bar, true);
  return { id: MSIX_CAPABILITY_ID, body, writeMask: Uint8Array.of(0, (FUNCTION_MASK | ENABLE) >> 8) };
}

/**
 * MSI-X (PCI 3.0, 6.8.2): the table, the pending bits, and which vectors may send. Any thread may access any of it. A
 * vector that may not send is disconnected from its source, which remembers by itself that it was signalled: those are
 * the pending bits.
 */
export class Msix {
  readonly #state: InstanceType<typeof MsixState>;
  readonly #bytes: Uint8Array;
  readonly #config: ConfigSpace;
  readonly #control: number;
  readonly #vectors: number;
  readonly #sources: MsixSources;

  /** `capability`: where it is in the configuration space. */
  constructor(
    state: InstanceType<typeof MsixState>,
    config: ConfigSpace,
    capability: number,
    vectors: number,
    sources: MsixSources,
  ) {
    if (!(vectors >= 1 && vectors <= MAX_MSIX_VECTORS)) throw new RangeError(`MSI-X cannot have ${vectors} vectors`);
    this.#state = state;
    this.#bytes = new Uint8Array(state.table.buffer, state.table.byteOffset, vectors * MSIX_ENTRY_SIZE);
    this.#config = config;
    this.#control = capability + CONTROL;
    this.#vectors = vectors;
    this.#sources = sources;
    state.lock.acquire();
    if (state.initialized === 0) {
      for (let vector = 0; vector < vectors; vector++) state.table[vector * ENTRY_WORDS + VECTOR_CONTROL] = MASKED;
      state.initialized = 1;
    }
    state.lock.release();
  }

  /** Whether the function uses MSI-X, and no INTx then. */
  get isEnabled(): boolean {
    return (this.#config.read16(this.#control) & ENABLE) !== 0;
  }

  /** `offset` counts from the start of the table; what is beyond its end reads as zero. */
  readTable(offset: number, data: Uint8Array): void {
    for (let i = 0; i < data.length; i++) data[i] = this.#bytes[offset + i] ?? 0;
  }

  writeTable(offset: number, data: Uint8Array): void {
    const { lock, table } = this.#state;
    lock.acquire();
    try {
      for (let i = 0; i < data.length && offset + i < this.#bytes.length; i++) this.#bytes[offset + i] = data[i]!;
      const last = Math.min(this.#vectors - 1, Math.floor((offset + data.length - 1) / MSIX_ENTRY_SIZE));
      for (let vector = Math.floor(offset / MSIX_ENTRY_SIZE); vector <= last; vector++) {
        const control = vector * ENTRY_WORDS + VECTOR_CONTROL;
        table[control] = table[control]! & MASKED;
        // A message that changes without having been masked is sent as it is now.
        this.#disconnect(vector);
        this.#update(vector);
      }
    } finally {
      lock.release();
    }
  }

  /** `offset` counts from the start of the pending bits. */
  readPending(offset: number, data: Uint8Array): void {
    const { lock, connected } = this.#state;
    data.fill(0);
    lock.acquire();
    try {
      for (let bit = 0; bit < data.length * 8; bit++) {
        const vector = offset * 8 + bit;
        if (vector >= this.#vectors || connected[vector] !== 0 || !this.#sources.isPending(vector)) continue;
        data[bit >> 3] = data[bit >> 3]! | (1 << (bit & 7));
      }
    } finally {
      lock.release();
    }
  }

  /** The configuration space was written: the function mask, the enable bit or bus mastering may have changed. */
  update(): void {
    const { lock } = this.#state;
    lock.acquire();
    try {
      for (let vector = 0; vector < this.#vectors; vector++) this.#update(vector);
    } finally {
      lock.release();
    }
  }

  #update(vector: number): void {
    const { connected, table } = this.#state;
    if (!this.#maySend(vector)) {
      this.#disconnect(vector);
    } else if (connected[vector] === 0) {
      connected[vector] = 1;
      const entry = vector * ENTRY_WORDS;
      this.#sources.connect(vector, table[entry + ADDRESS]!, table[entry + DATA]!);
    }
  }

  #disconnect(vector: number): void {
    const { connected } = this.#state;
    if (connected[vector] === 0) return;
    connected[vector] = 0;
    this.#sources.disconnect(vector);
  }

  /** A message is a write to memory, so it takes bus mastering; above 4 GiB nothing takes messages. */
  #maySend(vector: number): boolean {
    const control = this.#config.read16(this.#control);
    if ((control & (ENABLE | FUNCTION_MASK)) !== ENABLE || !this.#config.isBusMaster) return false;
    const { table } = this.#state;
    const entry = vector * ENTRY_WORDS;
    return table[entry + VECTOR_CONTROL] === 0 && table[entry + ADDRESS_HIGH] === 0;
  }
}
