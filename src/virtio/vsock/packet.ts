/** Packets of the socket device (VIRTIO 1.3, section 5.10.6): struct virtio_vsock_hdr, and what its fields may say. */

export const VMADDR_CID_HOST = 2;
export const VIRTIO_VSOCK_TYPE_STREAM = 1;

export const VIRTIO_VSOCK_OP_REQUEST = 1;
export const VIRTIO_VSOCK_OP_RESPONSE = 2;
export const VIRTIO_VSOCK_OP_RST = 3;
export const VIRTIO_VSOCK_OP_SHUTDOWN = 4;
export const VIRTIO_VSOCK_OP_RW = 5;
export const VIRTIO_VSOCK_OP_CREDIT_UPDATE = 6;
export const VIRTIO_VSOCK_OP_CREDIT_REQUEST = 7;

/** Flags of SHUTDOWN: its sender receives, or sends, no more. */
export const VIRTIO_VSOCK_SHUTDOWN_RCV = 1;
export const VIRTIO_VSOCK_SHUTDOWN_SEND = 2;
export const SHUTDOWN_BOTH = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

export const HEADER_SIZE = 44;

/** A header that is read and written in place, over and over. */
export class VsockHeader {
  readonly bytes = new Uint8Array(HEADER_SIZE);
  readonly #view = new DataView(this.bytes.buffer);

  /** Inexact beyond 2^53, where no guest is. */
  get srcCid(): number {
    return this.#cid(0);
  }
  set srcCid(cid: number) {
    this.#setCid(0, cid);
  }

  get dstCid(): number {
    return this.#cid(8);
  }
  set dstCid(cid: number) {
    this.#setCid(8, cid);
  }

  get srcPort(): number {
    return this.#view.getUint32(16, true);
  }
  set srcPort(port: number) {
    this.#view.setUint32(16, port, true);
  }

  get dstPort(): number {
    return this.#view.getUint32(20, true);
  }
  set dstPort(port: number) {
    this.#view.setUint32(20, port, true);
  }

  /** Bytes of payload. */
  get len(): number {
    return this.#view.getUint32(24, true);
  }
  set len(bytes: number) {
    this.#view.setUint32(24, bytes, true);
  }

  get type(): number {
    return this.#view.getUint16(28, true);
  }
  set type(type: number) {
    this.#view.setUint16(28, type, true);
  }

  get op(): number {
    return this.#view.getUint16(30, true);
  }
  set op(op: number) {
    this.#view.setUint16(30, op, true);
  }

  get flags(): number {
    return this.#view.getUint32(32, true);
  }
  set flags(flags: number) {
    this.#view.setUint32(32, flags, true);
  }

  /** Bytes that the sender has room for, altogether. */
  get bufAlloc(): number {
    return this.#view.getUint32(36, true);
  }
  set bufAlloc(bytes: number) {
    this.#view.setUint32(36, bytes, true);
  }

  /** Bytes that the sender has taken out of its buffer since the beginning, modulo 2^32. */
  get fwdCnt(): number {
    return this.#view.getUint32(40, true);
  }
  set fwdCnt(bytes: number) {
    this.#view.setUint32(40, bytes, true);
  }

  #cid(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }

  #setCid(at: number, cid: number): void {
    this.#view.setUint32(at, cid, true);
    this.#view.setUint32(at + 4, cid / 2 ** 32, true);
  }
}
