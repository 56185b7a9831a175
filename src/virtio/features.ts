/** Feature bits that are not about one type of device (VIRTIO 1.3, section 6). */
export const VIRTIO_F_INDIRECT_DESC = 28;
export const VIRTIO_F_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;
export const VIRTIO_F_ACCESS_PLATFORM = 33;
export const VIRTIO_F_RING_PACKED = 34;
export const VIRTIO_F_IN_ORDER = 35;

/** A set of feature bits, as a mask of 64 bits. For negotiation, never per request. */
export type FeatureSet = bigint;

/** The set of the bits with these numbers. */
export function featureSet(...bits: readonly number[]): FeatureSet {
  return bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
}

export function hasFeature(set: FeatureSet, bit: number): boolean {
  return (set & (1n << BigInt(bit))) !== 0n;
}
