import type { VirtioDevice } from '../virtio/device.ts';
import type { DeviceAnswer, DeviceOrder } from './device-orders.ts';
import type { ShareUsers } from './share-users.ts';

type OrderKind = DeviceOrder['kind'];

/** What is done for each kind of order that a device knows. The answer may come later. */
export type OrderHandlers = {
  readonly [K in OrderKind]?: (
    order: Extract<DeviceOrder, { kind: K }>,
    answer: (answer: DeviceAnswer) => void,
  ) => void;
};

/** What the root folder of the process is then. It travels as JSON. */
export interface RootOfShare {
  /** Absolute. */
  readonly path: string;
  readonly readOnly: boolean;
  /** What the host mounts in it later is there, too. */
  readonly followsMounts: boolean;
}

/** A folder of the host that a device serves: all of its jail. */
export interface SharedFolder extends ShareUsers, RootOfShare {
  /** It is `/` from now on; /proc/self/fd is the working directory. */
  becameRoot(): void;
}

export interface MadeDevice {
  readonly device: VirtioDevice;
  readonly orders?: OrderHandlers;
}

/** A device that has what it cannot get from inside of its jail, and has not looked at what others have written. */
export interface PreparedDevice {
  /** Absolute paths of folders of the host in which it looks for files later; nothing else remains in its jail. */
  readonly folders?: readonly string[];
  readonly share?: SharedFolder;
  /** Makes the device, once. Throws what is wrong with the contents of its files; nothing stays open then. */
  finish(): MadeDevice;
}
