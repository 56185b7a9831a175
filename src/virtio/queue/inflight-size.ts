/** Of the areas of SplitInflight and of PackedInflight, the latter is larger: a header and an entry for each descriptor. */
const HEADER_SIZE = 32;
const ENTRY_SIZE = 32;

/** Areas of queues start at multiples of this. */
const ALIGNMENT = 64;

/** Bytes that the area of one queue takes, whatever the format of its ring. */
export function inflightSize(queueSize: number): number {
  return Math.ceil((HEADER_SIZE + ENTRY_SIZE * queueSize) / ALIGNMENT) * ALIGNMENT;
}
