/** The requests of the kernel's vhost devices (ioctl(2)), and the structs that they take (linux/vhost.h, vhost_types.h). */

const VHOST_VIRTIO = 0xaf;
const [READ, WRITE] = [2, 1];

/** A request code: the direction of the struct, its size, and the number of the request (ioctl(2), _IOC). */
function request(direction: number, number: number, size: number): number {
  return direction * 2 ** 30 + size * 2 ** 16 + VHOST_VIRTIO * 2 ** 8 + number;
}

const U64_SIZE = 8;
const STATE_SIZE = 8;
const ADDRESS_SIZE = 40;
const FILE_SIZE = 8;
const MEMORY_SIZE = 8;
const REGION_SIZE = 32;

/** Request codes by their names. */
export const vhostRequests = {
  VHOST_GET_FEATURES: request(READ, 0x00, U64_SIZE),
  VHOST_SET_FEATURES: request(WRITE, 0x00, U64_SIZE),
  VHOST_SET_OWNER: request(0, 0x01, 0),
  VHOST_SET_MEM_TABLE: request(WRITE, 0x03, MEMORY_SIZE),
  VHOST_SET_VRING_NUM: request(WRITE, 0x10, STATE_SIZE),
  VHOST_SET_VRING_ADDR: request(WRITE, 0x11, ADDRESS_SIZE),
  VHOST_SET_VRING_BASE: request(WRITE, 0x12, STATE_SIZE),
  VHOST_SET_VRING_KICK: request(WRITE, 0x20, FILE_SIZE),
  VHOST_SET_VRING_CALL: request(WRITE, 0x21, FILE_SIZE),
  VHOST_SET_VRING_ERR: request(WRITE, 0x22, FILE_SIZE),
  VHOST_NET_SET_BACKEND: request(WRITE, 0x30, FILE_SIZE),
  VHOST_VSOCK_SET_GUEST_CID: request(WRITE, 0x60, U64_SIZE),
  VHOST_VSOCK_SET_RUNNING: request(WRITE, 0x61, 4),
} as const;

export type VhostRequest = keyof typeof vhostRequests;

/** In place of a descriptor: none. */
export const NO_FILE = -1;

/** A stretch of guest memory, and where it is in this process. */
export interface MemoryRegion {
  readonly gpa: number;
  readonly size: number;
  readonly address: number;
}

/** Where the parts of a ring are in this process. */
export interface RingAddresses {
  readonly desc: number;
  readonly used: number;
  readonly avail: number;
}

export function u64(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}

export function int32(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

/** struct vhost_vring_state: u32 index, u32 number. */
export function vringState(index: number, number: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(index, number).buffer);
}

/** struct vhost_vring_file: u32 index, s32 descriptor. */
export function vringFile(index: number, fd: number): Uint8Array {
  return new Uint8Array(Int32Array.of(index, fd).buffer);
}

/** struct vhost_vring_addr: u32 index, u32 flags, u64 descriptors, used ring, available ring, log. */
export function vringAddresses(index: number, { desc, used, avail }: RingAddresses): Uint8Array {
  const view = new DataView(new ArrayBuffer(ADDRESS_SIZE));
  view.setUint32(0, index, true);
  for (const [i, address] of [desc, used, avail].entries()) view.setBigUint64(8 + 8 * i, BigInt(address), true);
  return new Uint8Array(view.buffer);
}

/** struct vhost_memory: u32 count, u32 padding; struct vhost_memory_region for each: u64 gpa, size, address, padding. */
export function memoryTable(regions: readonly MemoryRegion[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(MEMORY_SIZE + REGION_SIZE * regions.length));
  view.setUint32(0, regions.length, true);
  for (const [i, { gpa, size, address }] of regions.entries()) {
    const at = MEMORY_SIZE + REGION_SIZE * i;
    for (const [j, value] of [gpa, size, address].entries()) view.setBigUint64(at + 8 * j, BigInt(value), true);
  }
  return new Uint8Array(view.buffer);
}
