/** Which virtio devices a VM gets, and where they are on the PCI bus. */
import { CrosvmError } from '../../errors.ts';
import type { VirtioDeviceName } from '../../virtio/device-types.ts';
import type { VmConfig } from '../config.ts';

/** A device that is to be connected. */
export interface DevicePlan {
  /** For messages. */
  readonly name: string;
  readonly type: VirtioDeviceName;
  /** Where its back end listens. */
  readonly socket: string;
  readonly maxQueueSize: number | undefined;
  /** Its device number on PCI bus 0. */
  readonly slot: number;
  /** Of a file system: the name that the guest mounts it by, if it is not the back end that has one. */
  readonly tag: string | undefined;
}

type Wanted = Omit<DevicePlan, 'name' | 'slot'> & { readonly slot: number | undefined };

const SLOTS = Array.from({ length: 30 }, (_, i) => i + 1);

/** In the order in which the guest finds them. Throws `E_PCI_ADDRESS` for a place that two want, and if there is no room. */
export function planDevices(config: VmConfig): DevicePlan[] {
  const wanted = wantedDevices(config);
  const taken = new Set<number>();
  for (const { slot } of wanted) {
    if (slot === undefined) continue;
    if (taken.has(slot)) fail(`two devices want the PCI address 00:${slot.toString(16).padStart(2, '0')}.0`);
    taken.add(slot);
  }
  const free = SLOTS.filter((slot) => !taken.has(slot));
  return wanted.map((device) => {
    const slot = device.slot ?? free.shift() ?? fail(`${wanted.length} devices do not fit on the PCI bus`);
    return { ...device, slot, name: `the ${device.type} device at ${device.socket}` };
  });
}

function wantedDevices(config: VmConfig): Wanted[] {
  const bySocket = (type: VirtioDeviceName, sockets: readonly string[]) =>
    sockets.map((socket) => ({ type, socket, maxQueueSize: undefined, slot: undefined, tag: undefined }));
  return [
    ...bySocket('gpu', config.vhostUserGpu),
    ...bySocket('block', config.vhostUserBlk),
    ...bySocket('console', config.vhostUserConsole),
    ...bySocket('net', config.vhostUserNet),
    ...bySocket('vsock', config.vhostUserVsock),
    ...config.vhostUserFs.map(({ socket, tag }) => ({ ...bySocket('fs', [socket])[0]!, tag })),
    ...bySocket('snd', config.vhostUserSnd),
    ...config.vhostUser.map((option) => ({
      type: option.type,
      socket: option.socket,
      maxQueueSize: option['max-queue-size'],
      slot: option['pci-address'],
      tag: undefined,
    })),
  ];
}

function fail(message: string): never {
  throw new CrosvmError('E_PCI_ADDRESS', message);
}
