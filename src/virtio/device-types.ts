/** What transports need to know of each type of virtio device (VIRTIO 1.3, 5). */
export interface VirtioDeviceType {
  /** Its number in the specification. */
  readonly id: number;
  /** PCI base class, subclass and programming interface: 24 bits. */
  readonly classCode: number;
  /** Bytes of configuration that every version of the device has. */
  readonly configSize: number;
  /** How many queues it has where nobody says otherwise. */
  readonly queues: number;
  /** The largest size that a driver may choose for one. */
  readonly queueSize: number;
  /** It may have shared memory (2.10), which its back end is asked about. */
  readonly sharesMemory?: boolean;
}

export const virtioDeviceTypes = {
  net: { id: 1, classCode: 0x02_0000, configSize: 12, queues: 2, queueSize: 256 },
  block: { id: 2, classCode: 0x01_8000, configSize: 60, queues: 1, queueSize: 256 },
  console: { id: 3, classCode: 0x07_8000, configSize: 12, queues: 2, queueSize: 256 },
  rng: { id: 4, classCode: 0x08_8000, configSize: 0, queues: 1, queueSize: 256 },
  balloon: { id: 5, classCode: 0x08_8000, configSize: 12, queues: 3, queueSize: 128 },
  scsi: { id: 8, classCode: 0x01_0000, configSize: 36, queues: 3, queueSize: 256 },
  '9p': { id: 9, classCode: 0x01_8000, configSize: 256, queues: 1, queueSize: 128 },
  gpu: { id: 16, classCode: 0x03_8000, configSize: 16, queues: 2, queueSize: 256, sharesMemory: true },
  input: { id: 18, classCode: 0x09_8000, configSize: 136, queues: 2, queueSize: 64 },
  vsock: { id: 19, classCode: 0x02_8000, configSize: 8, queues: 3, queueSize: 256 },
  snd: { id: 25, classCode: 0x04_0100, configSize: 12, queues: 4, queueSize: 256 },
  fs: { id: 26, classCode: 0x01_8000, configSize: 40, queues: 2, queueSize: 1024, sharesMemory: true },
  pmem: { id: 27, classCode: 0x05_8000, configSize: 16, queues: 1, queueSize: 256 },
} as const satisfies Record<string, VirtioDeviceType>;

export type VirtioDeviceName = keyof typeof virtioDeviceTypes;
