/** Feature bits, commands and the configuration space of network devices (VIRTIO 1.3, section 5.1). */

export const VIRTIO_NET_F_CSUM = 0;
export const VIRTIO_NET_F_GUEST_CSUM = 1;
export const VIRTIO_NET_F_CTRL_GUEST_OFFLOADS = 2;
export const VIRTIO_NET_F_MTU = 3;
export const VIRTIO_NET_F_MAC = 5;
export const VIRTIO_NET_F_GUEST_TSO4 = 7;
export const VIRTIO_NET_F_GUEST_TSO6 = 8;
export const VIRTIO_NET_F_GUEST_ECN = 9;
export const VIRTIO_NET_F_GUEST_UFO = 10;
export const VIRTIO_NET_F_HOST_TSO4 = 11;
export const VIRTIO_NET_F_HOST_TSO6 = 12;
export const VIRTIO_NET_F_HOST_ECN = 13;
export const VIRTIO_NET_F_HOST_UFO = 14;
export const VIRTIO_NET_F_MRG_RXBUF = 15;
export const VIRTIO_NET_F_CTRL_VQ = 17;
export const VIRTIO_NET_F_MQ = 22;

export const VIRTIO_NET_CTRL_MQ = 4;
export const VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET = 0;
export const VIRTIO_NET_CTRL_GUEST_OFFLOADS = 5;
export const VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET = 0;

export const VIRTIO_NET_OK = 0;
export const VIRTIO_NET_ERR = 1;

/** struct virtio_net_hdr, with the number of buffers at its end. */
export const NET_HEADER_SIZE = 12;
export const NUM_BUFFERS = 10;

/** The longest frame with header: 64 KiB that the host or the guest did not cut up, and what is before them. */
export const MAX_FRAME = NET_HEADER_SIZE + 14 + 4 + 65535;

/** What a port may hand over that a network card would have finished: a bit for each, of their own. */
export interface Offloads {
  readonly checksum: boolean;
  readonly tso4: boolean;
  readonly tso6: boolean;
  readonly ecn: boolean;
  readonly ufo: boolean;
}

const CONFIG_SIZE = 12;

/** struct virtio_net_config. */
export function netConfig(mac: Uint8Array | undefined, pairs: number, mtu: number | undefined): Uint8Array {
  const view = new DataView(new ArrayBuffer(CONFIG_SIZE));
  const bytes = new Uint8Array(view.buffer);
  if (mac !== undefined) bytes.set(mac);
  view.setUint16(8, pairs, true);
  view.setUint16(10, mtu ?? 0, true);
  return bytes;
}
