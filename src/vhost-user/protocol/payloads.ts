/**
 * What the payloads of vhost-user messages say. Numbers are little-endian (the machine's order, on x86-64). Decoding
 * checks sizes and that 64-bit addresses and sizes are safe integers, and throws `E_VHOST_USER`; whether an address or an
 * index exists is for the receiver to check.
 */
import { protocolError } from './message.ts';

export interface PayloadCodec<T> {
  encode(value: T): Uint8Array;
  decode(payload: Uint8Array): T;
}

/** The most regions in one memory table (VHOST_USER_SET_MEM_TABLE). */
export const MAX_TABLE_REGIONS = 8;

export interface VringState {
  readonly index: number;
  /** The queue's size, its position in the available ring, or 1 to enable it and 0 to disable it. */
  readonly num: number;
}

/** Where the parts of a ring lie, as user addresses of the front end. */
export interface VringAddress {
  readonly index: number;
  /** VHOST_VRING_F_ bits. */
  readonly flags: number;
  readonly descriptor: number;
  /** The used ring; for a packed ring the device's event suppression area. */
  readonly used: number;
  /** The available ring; for a packed ring the driver's event suppression area. */
  readonly available: number;
  /** Where to log writes to the used ring: a guest address. */
  readonly log: number;
}

/** Which ring an eventfd belongs to. */
export interface VringDescriptor {
  readonly index: number;
  /** No eventfd comes with the message: the ring is polled. */
  readonly absent: boolean;
}

/** A piece of guest memory that both ends share. */
export interface SharedRegion {
  readonly guestAddress: number;
  /** In bytes. */
  readonly size: number;
  /** Where the front end has it in its own address space. */
  readonly userAddress: number;
  /** Where in the file the region starts, in bytes. */
  readonly mmapOffset: number;
}

export interface ConfigAccess {
  readonly offset: number;
  readonly flags: number;
  /** What is written or was read; for a read request as many bytes as are wanted. */
  readonly bytes: Uint8Array;
}

/** The area of shared memory that tells which requests a back end has taken and not returned. */
export interface InflightArea {
  readonly mmapSize: number;
  readonly mmapOffset: number;
  readonly numQueues: number;
  readonly queueSize: number;
}

/** A piece of a file in the shared memory of a device (VIRTIO 1.3, 2.10). */
export interface SharedMapping {
  /** Which shared memory. */
  readonly id: number;
  /** From its start, in bytes. */
  readonly offset: number;
  readonly length: number;
  /** Where in the file that comes with it; of no meaning for one that ends. */
  readonly fdOffset: number;
  readonly writable: boolean;
}

/** Which way the state of a device goes, and when. */
export interface DeviceStateTransfer {
  readonly direction: number;
  readonly phase: number;
}

export const VHOST_TRANSFER_STATE_DIRECTION_SAVE = 0;
export const VHOST_TRANSFER_STATE_DIRECTION_LOAD = 1;

/** How many shared memories a device can have: their ids have 8 bits. */
export const MAX_SHARED_MEMORIES = 256;

const VHOST_USER_FLAG_MAP_RW = 1n;

const VRING_INDEX_MASK = 0xff;
const VRING_NOFD_MASK = 0x100;

/** No payload at all. */
export const nothing: PayloadCodec<void> = {
  encode: () => new Uint8Array(0),
  decode: (payload) => void fields(payload, 0),
};

export const u64: PayloadCodec<bigint> = {
  encode(value) {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, value, true);
    return bytesOf(view);
  },
  decode: (payload) => fields(payload, 8).getBigUint64(0, true),
};

export const vringState: PayloadCodec<VringState> = {
  encode({ index, num }) {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, index, true);
    view.setUint32(4, num, true);
    return bytesOf(view);
  },
  decode(payload) {
    const view = fields(payload, 8);
    return { index: view.getUint32(0, true), num: view.getUint32(4, true) };
  },
};

export const vringAddress: PayloadCodec<VringAddress> = {
  encode(address) {
    const view = new DataView(new ArrayBuffer(40));
    view.setUint32(0, address.index, true);
    view.setUint32(4, address.flags, true);
    setSafe(view, 8, address.descriptor);
    setSafe(view, 16, address.used);
    setSafe(view, 24, address.available);
    setSafe(view, 32, address.log);
    return bytesOf(view);
  },
  decode(payload) {
    const view = fields(payload, 40);
    return {
      index: view.getUint32(0, true),
      flags: view.getUint32(4, true),
      descriptor: getSafe(view, 8, 'descriptor table'),
      used: getSafe(view, 16, 'used ring'),
      available: getSafe(view, 24, 'available ring'),
      log: getSafe(view, 32, 'log'),
    };
  },
};

export const vringDescriptor: PayloadCodec<VringDescriptor> = {
  encode: ({ index, absent }) => u64.encode(BigInt(index | (absent ? VRING_NOFD_MASK : 0))),
  decode(payload) {
    const value = fields(payload, 8).getUint32(0, true);
    return { index: value & VRING_INDEX_MASK, absent: (value & VRING_NOFD_MASK) !== 0 };
  },
};

export const memoryTable: PayloadCodec<readonly SharedRegion[]> = {
  encode(regions) {
    const view = new DataView(new ArrayBuffer(8 + REGION_SIZE * regions.length));
    view.setUint32(0, regions.length, true);
    for (const [i, region] of regions.entries()) setRegion(view, 8 + REGION_SIZE * i, region);
    return bytesOf(view);
  },
  decode(payload) {
    const count = fields(payload, 8, Number.POSITIVE_INFINITY).getUint32(0, true);
    if (count > MAX_TABLE_REGIONS) {
      throw protocolError(`a memory table has ${count} regions; ${MAX_TABLE_REGIONS} are allowed`);
    }
    // Some front ends send the whole structure however few of its regions count.
    const view = fields(payload, 8 + REGION_SIZE * count, 8 + REGION_SIZE * MAX_TABLE_REGIONS);
    return Array.from({ length: count }, (_, i) => getRegion(view, 8 + REGION_SIZE * i));
  },
};

export const memoryRegion: PayloadCodec<SharedRegion> = {
  encode(region) {
    const view = new DataView(new ArrayBuffer(8 + REGION_SIZE));
    setRegion(view, 8, region);
    return bytesOf(view);
  },
  decode: (payload) => getRegion(fields(payload, 8 + REGION_SIZE), 8),
};

export const config: PayloadCodec<ConfigAccess> = {
  encode({ offset, flags, bytes }) {
    const view = new DataView(new ArrayBuffer(CONFIG_HEADER + bytes.length));
    view.setUint32(0, offset, true);
    view.setUint32(4, bytes.length, true);
    view.setUint32(8, flags, true);
    const payload = bytesOf(view);
    payload.set(bytes, CONFIG_HEADER);
    return payload;
  },
  decode(payload) {
    const view = fields(payload, CONFIG_HEADER, Number.POSITIVE_INFINITY);
    const size = view.getUint32(4, true);
    fields(payload, CONFIG_HEADER + size);
    return {
      offset: view.getUint32(0, true),
      flags: view.getUint32(8, true),
      bytes: payload.slice(CONFIG_HEADER),
    };
  },
};

/** The answer to a read of the config space: undefined (an empty payload) says that it failed. */
export const configReply: PayloadCodec<ConfigAccess | undefined> = {
  encode: (access) => (access === undefined ? new Uint8Array(0) : config.encode(access)),
  decode: (payload) => (payload.length === 0 ? undefined : config.decode(payload)),
};

export const inflight: PayloadCodec<InflightArea> = {
  encode(area) {
    const view = new DataView(new ArrayBuffer(INFLIGHT_PADDED));
    setSafe(view, 0, area.mmapSize);
    setSafe(view, 8, area.mmapOffset);
    view.setUint16(16, area.numQueues, true);
    view.setUint16(18, area.queueSize, true);
    return bytesOf(view);
  },
  decode(payload) {
    const view = fields(payload, 20, INFLIGHT_PADDED);
    return {
      mmapSize: getSafe(view, 0, 'size of an in-flight area'),
      mmapOffset: getSafe(view, 8, 'offset of an in-flight area'),
      numQueues: view.getUint16(16, true),
      queueSize: view.getUint16(18, true),
    };
  },
};

export const deviceState: PayloadCodec<DeviceStateTransfer> = {
  encode({ direction, phase }) {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, direction, true);
    view.setUint32(4, phase, true);
    return bytesOf(view);
  },
  decode(payload) {
    const view = fields(payload, 8);
    return { direction: view.getUint32(0, true), phase: view.getUint32(4, true) };
  },
};

/** The sizes of a device's shared memories in bytes, by their ids; 0 for none. */
export const sharedMemorySizes: PayloadCodec<readonly number[]> = {
  encode(sizes) {
    const view = new DataView(new ArrayBuffer(8 + 8 * MAX_SHARED_MEMORIES));
    view.setUint32(0, sizes.filter((size) => size > 0).length, true);
    for (const [id, size] of sizes.entries()) setSafe(view, 8 + 8 * id, size);
    return bytesOf(view);
  },
  decode(payload) {
    const view = fields(payload, 8 + 8 * MAX_SHARED_MEMORIES);
    return Array.from({ length: MAX_SHARED_MEMORIES }, (_, id) => getSafe(view, 8 + 8 * id, 'size of a shared memory'));
  },
};

export const sharedMapping: PayloadCodec<SharedMapping> = {
  encode({ id, offset, length, fdOffset, writable }) {
    const view = new DataView(new ArrayBuffer(40));
    view.setUint8(0, id);
    setSafe(view, 8, fdOffset);
    setSafe(view, 16, offset);
    setSafe(view, 24, length);
    view.setBigUint64(32, writable ? VHOST_USER_FLAG_MAP_RW : 0n, true);
    return bytesOf(view);
  },
  decode(payload) {
    const view = fields(payload, 40);
    return {
      id: view.getUint8(0),
      fdOffset: getSafe(view, 8, 'place in the file of a mapping'),
      offset: getSafe(view, 16, 'offset of a mapping'),
      length: getSafe(view, 24, 'length of a mapping'),
      writable: (view.getBigUint64(32, true) & VHOST_USER_FLAG_MAP_RW) !== 0n,
    };
  },
};

const REGION_SIZE = 32;
const CONFIG_HEADER = 12;
/** The structure of 20 bytes as C pads it, which is how it is sent. */
const INFLIGHT_PADDED = 24;

/** The payload's bytes, when there are from `minimum` to `maximum` of them. */
function fields(payload: Uint8Array, minimum: number, maximum = minimum): DataView {
  if (payload.length < minimum || payload.length > maximum) {
    throw protocolError(`a payload has ${payload.length} bytes instead of ${minimum}`);
  }
  return new DataView(payload.buffer, payload.byteOffset, payload.length);
}

function bytesOf(view: DataView<ArrayBuffer>): Uint8Array {
  return new Uint8Array(view.buffer);
}

function setRegion(view: DataView, at: number, region: SharedRegion): void {
  setSafe(view, at, region.guestAddress);
  setSafe(view, at + 8, region.size);
  setSafe(view, at + 16, region.userAddress);
  setSafe(view, at + 24, region.mmapOffset);
}

function getRegion(view: DataView, at: number): SharedRegion {
  return {
    guestAddress: getSafe(view, at, 'guest address of a region'),
    size: getSafe(view, at + 8, 'size of a region'),
    userAddress: getSafe(view, at + 16, 'user address of a region'),
    mmapOffset: getSafe(view, at + 24, 'offset of a region'),
  };
}

function setSafe(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true);
}

function getSafe(view: DataView, at: number, what: string): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw protocolError(`the ${what}, 0x${value.toString(16)}, is impossible`);
  return Number(value);
}
