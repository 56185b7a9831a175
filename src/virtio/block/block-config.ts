/** Feature bits, request types and the configuration space of block devices (VIRTIO 1.3, section 5.2). */

export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_MQ = 12;
export const VIRTIO_BLK_F_DISCARD = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES = 14;

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

export const VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1;

/** Sectors are of this many bytes whatever the block size. */
export const SECTOR_SIZE = 512;
/** Bytes that GET_ID returns. */
export const ID_SIZE = 20;

/** The most segments of one request for discard or zeroes, and the most sectors of each. */
export const MAX_RANGES = 32;
const MAX_RANGE_SECTORS = 0xffff_ffff;

/** The smallest stretch that is worth a discard: what a file system of the host can give back. */
const DISCARD_ALIGNMENT_SECTORS = 128;

/** Up to what discard and write zeroes need; what follows is for features that we do not have. */
const CONFIG_SIZE = 60;
/** Descriptors of a request besides its data: header and status. */
const OTHER_DESCRIPTORS = 2;

export interface BlockGeometry {
  /** In bytes. */
  readonly size: number;
  /** In bytes. */
  readonly blockSize: number;
  readonly queues: number;
  readonly queueSize: number;
}

/** struct virtio_blk_config. */
export function blockConfig({ size, blockSize, queues, queueSize }: BlockGeometry): Uint8Array {
  const view = new DataView(new ArrayBuffer(CONFIG_SIZE));
  setCapacity(view, size);
  view.setUint32(12, queueSize - OTHER_DESCRIPTORS, true); // seg_max
  view.setUint32(20, blockSize, true); // blk_size
  view.setUint16(34, queues, true); // num_queues
  view.setUint32(36, MAX_RANGE_SECTORS, true); // max_discard_sectors
  view.setUint32(40, MAX_RANGES, true); // max_discard_seg
  view.setUint32(44, DISCARD_ALIGNMENT_SECTORS, true); // discard_sector_alignment
  view.setUint32(48, MAX_RANGE_SECTORS, true); // max_write_zeroes_sectors
  view.setUint32(52, MAX_RANGES, true); // max_write_zeroes_seg
  view.setUint8(56, 1); // write_zeroes_may_unmap
  return new Uint8Array(view.buffer);
}

/** The first field: whole sectors. */
export function setCapacity(config: DataView, size: number): void {
  config.setBigUint64(0, BigInt(Math.floor(size / SECTOR_SIZE)), true);
}
