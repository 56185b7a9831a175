/** The places of virtio over PCI (VIRTIO 1.3, 4.1.4): one BAR for everything, and the capabilities that say so. */
import type { CapabilitySpec } from '../config-space.ts';
import { msixCapability } from '../msix.ts';
import { SHARED_MEMORY_BAR, type SharedMemoryRegion } from './shared-memory.ts';

export const VIRTIO_VENDOR = 0x1af4;
/** A device's PCI id is this and its virtio type. */
export const VIRTIO_DEVICE_BASE = 0x1040;

export const VIRTIO_BAR = 0;
export const VIRTIO_BAR_SIZE = 0x8000;

/** A stretch of the BAR. */
export interface Area {
  readonly offset: number;
  readonly length: number;
}

export const COMMON: Area = { offset: 0x0000, length: 0x38 };
export const ISR: Area = { offset: 0x1000, length: 1 };
export const DEVICE_CONFIG: Area = { offset: 0x2000, length: 0x1000 };
export const NOTIFY: Area = { offset: 0x3000, length: 0x1000 };
/** Each queue has a doorbell of its own: queue q's is at `NOTIFY.offset + q * NOTIFY_MULTIPLIER`. */
export const NOTIFY_MULTIPLIER = 4;
export const MSIX_TABLE: Area = { offset: 0x6000, length: 0x1000 };
export const MSIX_PENDING: Area = { offset: 0x7000, length: 0x1000 };

/** Registers of the common configuration (4.1.4.3). */
export const DEVICE_FEATURE_SELECT = 0x00;
export const DEVICE_FEATURE = 0x04;
export const DRIVER_FEATURE_SELECT = 0x08;
export const DRIVER_FEATURE = 0x0c;
export const CONFIG_MSIX_VECTOR = 0x10;
export const NUM_QUEUES = 0x12;
export const DEVICE_STATUS = 0x14;
export const CONFIG_GENERATION = 0x15;
export const QUEUE_SELECT = 0x16;
export const QUEUE_SIZE = 0x18;
export const QUEUE_MSIX_VECTOR = 0x1a;
export const QUEUE_ENABLE = 0x1c;
export const QUEUE_NOTIFY_OFF = 0x1e;
export const QUEUE_DESC = 0x20;
export const QUEUE_DRIVER = 0x28;
export const QUEUE_DEVICE = 0x30;
export const NO_VECTOR = 0xffff;

/** Device status (2.1). */
export const ACKNOWLEDGE = 1;
export const DRIVER = 2;
export const DRIVER_OK = 4;
export const FEATURES_OK = 8;
export const DEVICE_NEEDS_RESET = 64;
export const FAILED = 128;

/** Bits of the ISR register (4.1.4.5). */
export const ISR_QUEUE = 1;
export const ISR_CONFIG = 2;

const VENDOR_CAPABILITY_ID = 0x09;
/** cfg_type (4.1.4). */
const COMMON_CFG = 1;
const NOTIFY_CFG = 2;
const ISR_CFG = 3;
const DEVICE_CFG = 4;
const PCI_CFG = 5;
const SHARED_MEMORY_CFG = 8;

/** Fields of virtio_pci_cap, from the capability's start. */
export const CAP_BAR = 4;
const CAP_ID = 5;
export const CAP_OFFSET = 8;
export const CAP_LENGTH = 12;
/** What follows the one for access by configuration space (4.1.4.9). */
export const PCI_CFG_DATA = 16;
const CAP_SIZE = 16;
/** struct virtio_pci_cap64: the high dwords of offset and length follow (4.1.4.7). */
const CAP64_SIZE = 24;

/** Positions of two capabilities in the list that `virtioCapabilities` gives. */
export const PCI_CFG_INDEX = 4;
export const MSIX_INDEX = 5;

/** The capabilities of a device with `vectors` MSI-X vectors and these regions of shared memory. */
export function virtioCapabilities(vectors: number, sharedMemory: readonly SharedMemoryRegion[]): CapabilitySpec[] {
  const window = capability(PCI_CFG, { offset: 0, length: 0 }, 0);
  const writeMask = new Uint8Array(window.body.length);
  writeMask[CAP_BAR - 2] = 0xff;
  writeMask.fill(0xff, CAP_OFFSET - 2, CAP_LENGTH + 4 - 2);
  const inBar = ({ offset }: Area) => ({ bar: VIRTIO_BAR, offset });
  return [
    capability(COMMON_CFG, COMMON),
    capability(ISR_CFG, ISR),
    capability(DEVICE_CFG, DEVICE_CONFIG),
    capability(NOTIFY_CFG, NOTIFY, NOTIFY_MULTIPLIER),
    { ...window, writeMask },
    msixCapability(vectors, inBar(MSIX_TABLE), inBar(MSIX_PENDING)),
    ...sharedMemory.map(sharedMemoryCapability),
  ];
}

function sharedMemoryCapability({ id, offset, length }: SharedMemoryRegion): CapabilitySpec {
  const view = new DataView(new ArrayBuffer(CAP64_SIZE - 2));
  view.setUint8(0, CAP64_SIZE);
  view.setUint8(1, SHARED_MEMORY_CFG);
  view.setUint8(CAP_BAR - 2, SHARED_MEMORY_BAR);
  view.setUint8(CAP_ID - 2, id);
  for (const [at, value] of [
    [CAP_OFFSET, offset],
    [CAP_LENGTH, length],
  ] as const) {
    view.setUint32(at - 2, value % 0x1_0000_0000, true);
    view.setUint32(at - 2 + 8, Math.floor(value / 0x1_0000_0000), true);
  }
  return { id: VENDOR_CAPABILITY_ID, body: new Uint8Array(view.buffer) };
}

/** struct virtio_pci_cap without what every capability begins with; `tail` is a dword that some have behind it. */
function capability(type: number, { offset, length }: Area, tail?: number): CapabilitySpec {
  const size = tail === undefined ? CAP_SIZE : CAP_SIZE + 4;
  const view = new DataView(new ArrayBuffer(size - 2));
  view.setUint8(0, size);
  view.setUint8(1, type);
  view.setUint8(CAP_BAR - 2, VIRTIO_BAR);
  view.setUint32(CAP_OFFSET - 2, offset, true);
  view.setUint32(CAP_LENGTH - 2, length, true);
  if (tail !== undefined) view.setUint32(CAP_SIZE - 2, tail, true);
  return { id: VENDOR_CAPABILITY_ID, body: new Uint8Array(view.buffer) };
}
