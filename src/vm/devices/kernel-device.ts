/** A virtio device whose queues the host's kernel serves: /dev/vhost-net, /dev/vhost-vsock. */
import { close, closeAll, O_RDWR, open } from '../../base/fd.ts';
import type { Subscription } from '../../base/readable.ts';
import { SystemError } from '../../base/system-error.ts';
import { prepareTap } from '../../base/tap.ts';
import { CrosvmError } from '../../errors.ts';
import type { VirtioPci } from '../../pci/virtio-pci/virtio-pci.ts';
import { virtioVectors } from '../../pci/virtio-pci/virtio-pci.ts';
import { u64 } from '../../vhost-kernel/requests.ts';
import {
  createVhostKernelState,
  type VhostKernelHandle,
  vhostKernelHost,
} from '../../vhost-kernel/vhost-kernel-link.ts';
import { guestFeatures } from '../../vhost-user/front-end/handshake.ts';
import { virtioDeviceTypes } from '../../virtio/device-types.ts';
import { type FeatureSet, featureSet, VIRTIO_F_RING_PACKED } from '../../virtio/features.ts';
import {
  netConfig,
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MTU,
} from '../../virtio/net/net-config.ts';
import { OFFLOADS } from '../../virtio/net/net-device.ts';
import type { DevicePlace } from './connect-device.ts';
import type { KernelSource, VhostNetSource, VhostVsockSource } from './kernel-source.ts';
import type { BareCard } from './own-source.ts';
import { openWire } from './own-tap.ts';
import type { DevicePlan } from './plan.ts';
import type { DeviceLink, VirtioDeviceHandle } from './virtio-device.ts';
import type { ManagedDevice } from './vm-device.ts';
import { closeWiring, createWiring, watchWiring } from './wiring.ts';

/** What one is made of. */
interface KernelParts {
  readonly kernel: VhostKernelHandle['kernel'];
  /** The vhost device. */
  readonly fd: number;
  readonly tap: number | undefined;
  readonly config: Uint8Array;
  /** What the guest is offered besides what the kernel has. */
  readonly features: FeatureSet;
}

export class KernelDevice implements ManagedDevice {
  readonly plan: DevicePlan;
  readonly input = undefined;
  readonly #parts: KernelParts;
  #handle: VirtioDeviceHandle | undefined;
  #link: DeviceLink | undefined;
  #subscriptions: Subscription[] = [];

  /** Opens the kernel's device. Throws `E_VHOST` if that cannot be, `E_TAP`. */
  constructor(plan: DevicePlan, source: KernelSource) {
    this.plan = plan;
    this.#parts = source.kind === 'vhost-net' ? openNet(source) : openVsock(source);
  }

  /** It has none. */
  async sharedMemory(): Promise<undefined> {}

  async connect({ firstGsi, files }: DevicePlace): Promise<VirtioDeviceHandle> {
    const { kernel, fd, tap, config, features: besides } = this.#parts;
    const type = virtioDeviceTypes[kernel];
    const answer = new BigUint64Array(1);
    vhostKernelHost.ioctl(fd, 'VHOST_SET_OWNER', new Uint8Array(0));
    vhostKernelHost.ioctl(fd, 'VHOST_GET_FEATURES', new Uint8Array(answer.buffer));
    const offered = guestFeatures(answer[0]!) & ~featureSet(VIRTIO_F_RING_PACKED);
    const spec = {
      type: type.id,
      classCode: type.classCode,
      features: offered | besides,
      maxQueueSizes: new Array<number>(type.queues).fill(type.queueSize),
      configSize: type.configSize,
      sharedMemory: undefined,
    };
    const wiring = createWiring(type.queues, virtioVectors(spec));
    const state = createVhostKernelState();
    const backEnd: VhostKernelHandle = { kernel, fd, tap, features: offered, config, files, wiring, state };
    this.#handle = { name: this.plan.name, slot: this.plan.slot, firstGsi, spec, window: undefined, backEnd };
    return this.#handle;
  }

  watch(device: VirtioPci, link: DeviceLink): void {
    this.#link = link;
    this.#subscriptions = watchWiring(this.#handle!.backEnd.wiring, device);
  }

  async order(): Promise<never> {
    throw new CrosvmError('E_DEVICE_ORDER', `${this.plan.name} takes no orders`);
  }

  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.close();
    const { fd, tap } = this.#parts;
    close(fd); // the kernel lets go of memory, eventfds and the TAP device
    if (tap !== undefined) close(tap);
    this.#link?.close();
    if (this.#handle !== undefined) closeWiring(this.#handle.backEnd.wiring);
  }
}

function openNet({ device, card, ...wire }: VhostNetSource): KernelParts {
  const fd = openVhost(device);
  try {
    const [tap, ...others] = openWire(wire);
    closeAll(others);
    prepareTap(tap!);
    return { kernel: 'net', fd, tap, ...netOffer(card) };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** The kernel knows nothing of addresses, and leaves offloads to the TAP device. There is no control queue. */
function netOffer({ mac, mtu }: BareCard): Pick<KernelParts, 'config' | 'features'> {
  const bits: number[] = [];
  if (mac !== undefined) bits.push(VIRTIO_NET_F_MAC);
  if (mtu !== undefined) bits.push(VIRTIO_NET_F_MTU);
  const features = (OFFLOADS & ~featureSet(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS)) | featureSet(...bits);
  return { config: netConfig(mac && Uint8Array.from(mac), 1, mtu), features };
}

function openVsock({ device, cid }: VhostVsockSource): KernelParts {
  const fd = typeof device === 'number' ? device : openVhost(device);
  const config = u64(BigInt(cid));
  try {
    vhostKernelHost.ioctl(fd, 'VHOST_VSOCK_SET_GUEST_CID', config);
  } catch (cause) {
    if (typeof device !== 'number') close(fd);
    if (!(cause instanceof SystemError) || cause.errno !== 'EADDRINUSE') throw cause;
    throw new CrosvmError('E_VHOST', `another guest of this host has the address ${cid}`, { cause });
  }
  return { kernel: 'vsock', fd, tap: undefined, config, features: 0n };
}

/** Throws `E_VHOST`. */
function openVhost(path: string): number {
  try {
    return open(path, O_RDWR);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: 'there is no such device (is the kernel module loaded?)',
      EACCES: 'you may not open it',
    };
    throw new CrosvmError('E_VHOST', `${path} cannot be used: ${reasons[cause.errno] ?? cause.message}`, { cause });
  }
}
