import type { FeatureSet } from '../features.ts';
import { hasFeature } from '../features.ts';
import type { DescriptorChain } from '../queue/descriptor-chain.ts';
import {
  type Offloads,
  VIRTIO_NET_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
  VIRTIO_NET_ERR,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_UFO,
  VIRTIO_NET_OK,
} from './net-config.ts';

/** What a driver may command. Each returns whether it can be. */
export interface NetCommands {
  setPairs(pairs: number): boolean;
  setOffloads(features: FeatureSet): boolean;
}

/** Class and command. */
const HEADER_SIZE = 2;
/** The longest payload of the commands that there are. */
const MAX_PAYLOAD = 8;

const bytes = new Uint8Array(HEADER_SIZE + MAX_PAYLOAD);
const view = new DataView(bytes.buffer);
const ack = new Uint8Array(1);

/** Carries out a request of the control queue and writes its answer (VIRTIO 1.3, 5.1.6.5); how many bytes that has. */
export function control({ readable, writable }: DescriptorChain, commands: NetCommands): number {
  if (writable.length === 0) return 0;
  const isDone = readable.length <= bytes.length && carryOut(readable.copyTo(bytes) - HEADER_SIZE, commands);
  ack[0] = isDone ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
  return writable.copyFrom(ack);
}

function carryOut(payload: number, commands: NetCommands): boolean {
  if (payload === 2 && bytes[0] === VIRTIO_NET_CTRL_MQ && bytes[1] === VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET) {
    return commands.setPairs(view.getUint16(HEADER_SIZE, true));
  }
  const isOffloads = bytes[0] === VIRTIO_NET_CTRL_GUEST_OFFLOADS && bytes[1] === VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET;
  return payload === 8 && isOffloads && commands.setOffloads(view.getBigUint64(HEADER_SIZE, true));
}

/** What the features of a driver allow a port to leave to it. */
export function offloadsOf(features: FeatureSet): Offloads {
  return {
    checksum: hasFeature(features, VIRTIO_NET_F_GUEST_CSUM),
    tso4: hasFeature(features, VIRTIO_NET_F_GUEST_TSO4),
    tso6: hasFeature(features, VIRTIO_NET_F_GUEST_TSO6),
    ecn: hasFeature(features, VIRTIO_NET_F_GUEST_ECN),
    ufo: hasFeature(features, VIRTIO_NET_F_GUEST_UFO),
  };
}
