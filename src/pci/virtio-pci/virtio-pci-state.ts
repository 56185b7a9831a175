import { sharedStruct } from '../../memory/shared-struct.ts';

/** More queues than this no device has here. */
export const MAX_QUEUES = 64;
/** The largest configuration that vhost-user can transport. */
const MAX_CONFIG_SIZE = 256;

/** The registers of a virtio device on PCI, and what the transport remembers of the device. */
export const VirtioPciState = sharedStruct({
  initialized: 'u8',
  status: 'u8',
  deviceFeatureSelect: 'u32',
  driverFeatureSelect: 'u32',
  driverFeatures: ['u32', 2],
  configVector: 'u16',
  queueSelect: 'u16',
  queueSize: ['u16', MAX_QUEUES],
  queueVector: ['u16', MAX_QUEUES],
  queueEnabled: ['u8', MAX_QUEUES],
  /** Guest physical addresses, low and high dword. */
  queueDesc: ['u32', 2 * MAX_QUEUES],
  queueDriver: ['u32', 2 * MAX_QUEUES],
  queueDevice: ['u32', 2 * MAX_QUEUES],
  /** The device was started, and not stopped since. */
  started: 'u8',
  /** MSI-X was enabled when the device heard of its interrupts last. */
  usesMsix: 'u8',
  /** Where the doorbells are in guest physical memory; -1 for nowhere. */
  doorbells: 'f64',
  /** The device's configuration as it was read at version `configRead` of `configVersion`. */
  config: ['u8', MAX_CONFIG_SIZE],
  configRead: 'u32',
  /** Counts changes; any thread adds to it, without the lock. */
  configVersion: ['u32', 1],
});
