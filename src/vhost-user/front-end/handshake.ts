import { CrosvmError } from '../../errors.ts';
import * as v from '../../virtio/features.ts';
import { type FeatureSet, featureSet, hasFeature } from '../../virtio/features.ts';
import * as f from '../protocol/features.ts';
import type { FrontEnd } from './front-end.ts';

/** What this front end knows of the protocol. */
const KNOWN =
  (1 << f.VHOST_USER_PROTOCOL_F_MQ) |
  (1 << f.VHOST_USER_PROTOCOL_F_REPLY_ACK) |
  (1 << f.VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
  (1 << f.VHOST_USER_PROTOCOL_F_CONFIG) |
  (1 << f.VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |
  (1 << f.VHOST_USER_PROTOCOL_F_RESET_DEVICE) |
  (1 << f.VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
  (1 << f.VHOST_USER_PROTOCOL_F_STATUS) |
  (1 << f.VHOST_USER_PROTOCOL_F_DEVICE_STATE);

const SHARING = 1 << f.VHOST_USER_PROTOCOL_F_SHMEM;

/** What a back end has said of itself. */
export interface BackEndOffer {
  /** Virtio features, as it gave them. */
  readonly features: FeatureSet;
  readonly speaksProtocol: boolean;
  /** What was agreed on of the protocol: a mask of the bits 0-31. */
  readonly protocolFeatures: number;
  /** How many queues it can have; undefined if it did not say. */
  readonly queues: number | undefined;
  /** Sizes of its shared memories in bytes, by their ids; 0 for none. */
  readonly sharedMemory: readonly number[];
}

export interface HandshakeOptions {
  /** Our end's partner for what the back end asks of us. */
  readonly backEndChannel: number;
  /** Waits for a back end that has yet to come up; after that it is waited for with the connection's patience. */
  readonly comesUp: () => Promise<void>;
  /** Whether it may have shared memory. */
  readonly sharesMemory: boolean;
}

/** The first words on a new connection. */
export async function handshake(
  frontEnd: FrontEnd,
  { backEndChannel, comesUp, sharesMemory }: HandshakeOptions,
): Promise<BackEndOffer> {
  frontEnd.request('SET_OWNER', undefined);
  frontEnd.send('GET_FEATURES', undefined);
  await comesUp();
  const features = frontEnd.receive('GET_FEATURES').reply;
  const speaksProtocol = hasFeature(features, f.VHOST_USER_F_PROTOCOL_FEATURES);
  if (speaksProtocol) {
    const offered = Number(BigInt.asUintN(32, frontEnd.request('GET_PROTOCOL_FEATURES', undefined)));
    const agreed = offered & (sharesMemory ? KNOWN | SHARING : KNOWN);
    frontEnd.request('SET_PROTOCOL_FEATURES', BigInt(agreed));
    frontEnd.protocolFeatures = agreed;
  }
  let queues: number | undefined;
  if (frontEnd.has(f.VHOST_USER_PROTOCOL_F_MQ)) queues = Number(frontEnd.request('GET_QUEUE_NUM', undefined));
  if (queues === 0) throw new CrosvmError('E_VHOST_USER', 'vhost-user: the back end has no queues');
  if (frontEnd.has(f.VHOST_USER_PROTOCOL_F_BACKEND_REQ)) {
    frontEnd.request('SET_BACKEND_REQ_FD', undefined, [backEndChannel]);
  }
  let sharedMemory: readonly number[] = [];
  if (frontEnd.has(f.VHOST_USER_PROTOCOL_F_SHMEM)) sharedMemory = frontEnd.request('GET_SHMEM_CONFIG', undefined);
  return { features, speaksProtocol, protocolFeatures: frontEnd.protocolFeatures, queues, sharedMemory };
}

/** Features about the transport (bits 24-49) that ours can do; the others are about types of devices. */
const TRANSPORT_FEATURES = featureSet(
  v.VIRTIO_F_INDIRECT_DESC,
  v.VIRTIO_F_EVENT_IDX,
  v.VIRTIO_F_VERSION_1,
  v.VIRTIO_F_RING_PACKED,
  v.VIRTIO_F_IN_ORDER,
);
const DEVICE_FEATURES = BigInt.asUintN(24, -1n) | (BigInt.asUintN(14, -1n) << 50n);

/** What of a back end's features the guest is offered. Throws `E_VHOST_USER` for one that only speaks to legacy drivers. */
export function guestFeatures(offered: FeatureSet): FeatureSet {
  const features = offered & (DEVICE_FEATURES | TRANSPORT_FEATURES);
  if (!hasFeature(features, v.VIRTIO_F_VERSION_1)) {
    throw new CrosvmError('E_VHOST_USER', 'vhost-user: the back end is a legacy device (it has no VIRTIO_F_VERSION_1)');
  }
  return features;
}
