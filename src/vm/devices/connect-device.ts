/** From the plan of a device to one that a machine can be built with. */
import { untilReadable } from '../../base/readable.ts';
import { type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import { CrosvmError } from '../../errors.ts';
import { sharedMemoryBar } from '../../pci/virtio-pci/shared-memory.ts';
import { virtioVectors } from '../../pci/virtio-pci/virtio-pci.ts';
import { MAX_QUEUES } from '../../pci/virtio-pci/virtio-pci-state.ts';
import { FrontEnd } from '../../vhost-user/front-end/front-end.ts';
import { type BackEndOffer, guestFeatures, handshake } from '../../vhost-user/front-end/handshake.ts';
import {
  createVhostUserState,
  RESPONSE_TIMEOUT_MS,
  type SharedFile,
  type VhostUserHandle,
} from '../../vhost-user/front-end/vhost-user-link.ts';
import { MessageChannel } from '../../vhost-user/message-channel.ts';
import { VHOST_USER_PROTOCOL_F_CONFIG } from '../../vhost-user/protocol/features.ts';
import { type VirtioDeviceName, type VirtioDeviceType, virtioDeviceTypes } from '../../virtio/device-types.ts';
import { featureSet, hasFeature, VIRTIO_F_RING_PACKED } from '../../virtio/features.ts';
import { FS_NOTIFYING_CONFIG_SIZE, FS_TAG_SIZE, fsTag, VIRTIO_FS_F_NOTIFICATION } from '../../virtio/fs/fs-config.ts';
import type { DevicePlan } from './plan.ts';
import type { VirtioDeviceHandle } from './virtio-device.ts';
import { createWiring } from './wiring.ts';

/** How long a back end may take to come up. */
const GREETING_TIMEOUT_MS = 30_000;
/** How long a back end may take to read an answer of ours. */
const ANSWER_TIMEOUT_MS = 100;

/** Of net: what is about its configuration, which a back end may leave to us (VIRTIO 1.3, 5.1.3). We have nothing to say. */
const NET_CONFIG_FEATURES = featureSet(3, 5, 16, 17, 18, 19, 20, 21, 22, 23, 57, 60, 63);

/** A back end that has said what it is. */
export interface BackEnd extends BackEndOffer {
  /** What it asks of us comes here. */
  readonly requests: MessageChannel;
}

/** The first words on a new connection to a device of such a type. Throws `CrosvmError`. */
export async function greetBackEnd(connection: StreamConnection, name: VirtioDeviceName): Promise<BackEnd> {
  const [ours, theirs] = streamPair();
  const requests = new MessageChannel(ours, ANSWER_TIMEOUT_MS);
  const frontEnd = new FrontEnd(new MessageChannel(connection, RESPONSE_TIMEOUT_MS));
  try {
    const comesUp = () => untilReadable(connection.fd, GREETING_TIMEOUT_MS);
    const { sharesMemory = false }: VirtioDeviceType = virtioDeviceTypes[name];
    return { ...(await handshake(frontEnd, { backEndChannel: theirs.fd, comesUp, sharesMemory })), requests };
  } catch (error) {
    frontEnd.abandon();
    requests.close();
    throw error;
  } finally {
    theirs.close();
  }
}

/** A device whose back end speaks vhost-user. */
export interface VhostUserDeviceHandle extends VirtioDeviceHandle {
  readonly backEnd: VhostUserHandle;
}

/** What of the machine is for one device. */
export interface DevicePlace {
  /** The GSIs of its MSI-X vectors start here. */
  readonly firstGsi: number;
  /** Which window of the VM its shared memory is, if it has any. */
  readonly window: number | undefined;
  /** What it may access besides RAM. */
  readonly files: readonly SharedFile[];
}

/** What threads attach to. `fd` is the connection. Throws `CrosvmError`. */
export function describeDevice(
  plan: DevicePlan,
  offer: BackEndOffer,
  fd: number,
  { firstGsi, window, files }: DevicePlace,
): VhostUserDeviceHandle {
  const type: VirtioDeviceType = virtioDeviceTypes[plan.type];
  const hasConfig = (offer.protocolFeatures & (1 << VHOST_USER_PROTOCOL_F_CONFIG)) !== 0;
  const isBareNet = plan.type === 'net' && !hasConfig;
  const queues = Math.min(MAX_QUEUES, isBareNet ? type.queues : (offer.queues ?? type.queues));
  let features = guestFeatures(offer.features);
  const hasNotifications = plan.type === 'fs' && hasFeature(features, VIRTIO_FS_F_NOTIFICATION);
  const localConfig = ownConfig(plan, type, hasNotifications ? queues - 1 : queues, hasConfig);
  // We cannot say how large its notifications are.
  if (hasNotifications && localConfig !== undefined) features &= ~featureSet(VIRTIO_FS_F_NOTIFICATION);
  if (isBareNet) features &= ~NET_CONFIG_FEATURES;
  if (plan.packed !== true) features &= ~featureSet(VIRTIO_F_RING_PACKED);
  const spec = {
    type: type.id,
    classCode: type.classCode,
    features,
    maxQueueSizes: new Array<number>(queues).fill(plan.maxQueueSize ?? type.queueSize),
    configSize: hasNotifications && localConfig === undefined ? FS_NOTIFYING_CONFIG_SIZE : type.configSize,
    sharedMemory: sharedMemoryBar(offer.sharedMemory),
  };
  const { speaksProtocol, protocolFeatures } = offer;
  const wiring = createWiring(queues, virtioVectors(spec));
  const comesBack = plan.source.kind !== 'socket';
  const backEnd = {
    fd,
    comesBack,
    speaksProtocol,
    protocolFeatures,
    localConfig,
    wiring,
    files,
    state: createVhostUserState(),
  };
  return { name: plan.name, slot: plan.slot, firstGsi, spec, window, backEnd };
}

/** The configuration of a device whose back end has none; undefined if it has. `queues` are without one for notifications. */
function ownConfig(
  plan: DevicePlan,
  { configSize }: VirtioDeviceType,
  queues: number,
  hasConfig: boolean,
): Uint8Array | undefined {
  if (plan.tag !== undefined) return fsConfig(plan.tag, configSize, queues);
  if (hasConfig) return undefined;
  if (plan.type === 'fs') {
    throw new CrosvmError('E_VHOST_USER', 'the back end has no tag, so one is needed: --vhost-user-fs SOCKET:TAG');
  }
  if (plan.type !== 'net' && configSize > 0) {
    throw new CrosvmError('E_VHOST_USER', 'the back end has no configuration (VHOST_USER_PROTOCOL_F_CONFIG)');
  }
  return new Uint8Array(configSize);
}

/** tag, padded with zeroes, and the number of request queues (VIRTIO 1.3, 5.11.4); one queue is for high priority. */
function fsConfig(tag: string, configSize: number, queues: number): Uint8Array {
  const config = new Uint8Array(configSize);
  config.set(fsTag(tag));
  new DataView(config.buffer).setUint32(FS_TAG_SIZE, Math.max(1, queues - 1), true);
  return config;
}
