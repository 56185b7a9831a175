import { ScatterList } from '../../memory/scatter-list.ts';
import { ByteQueue } from './byte-queue.ts';
import {
  SHUTDOWN_BOTH,
  VIRTIO_VSOCK_OP_CREDIT_UPDATE,
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RESPONSE,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_OP_SHUTDOWN,
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  type VsockHeader,
} from './packet.ts';
import type { VsockStream } from './vsock-host.ts';

/** What a guest may send before the host has read it, in bytes of each connection. */
export const BUFFER_SIZE = 128 * 1024;

/** Room for what we say ourselves to a program of the host before anything of the guest. */
const GREETING_ROOM = 64;

/** The order in which packets that wait are sent to the guest. RST is the last that a connection sends. */
const CONTROL_ORDER = [
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RESPONSE,
  VIRTIO_VSOCK_OP_CREDIT_UPDATE,
  VIRTIO_VSOCK_OP_SHUTDOWN,
  VIRTIO_VSOCK_OP_RST,
];

/** A connection between a port of the guest and one of the host: flow control and the state of both ends. */
export class VsockConnection {
  readonly guestPort: number;
  readonly hostPort: number;
  readonly stream: VsockStream;
  /** The guest has accepted it, or made it. */
  isOpen: boolean;
  /** The connection is over, and its stream closed, but for what there is to tell the guest. */
  isDead = false;
  /** SHUTDOWN flags of either end. */
  guestShutdown = 0;
  hostShutdown = 0;
  /** EPOLL flags that the device waits for on the stream. */
  watched = 0;
  /** What the guest has sent and the host has not taken. */
  readonly #outgoing = new ByteQueue(BUFFER_SIZE + GREETING_ROOM);
  readonly #list = new ScatterList();
  /** Packets that wait to be sent to the guest: a bit for each operation. */
  #controls = 0;
  /** Bytes that the guest has room for, and those of ours that it has taken, modulo 2^32. */
  #guestBuffer = 0;
  #guestTook = 0;
  /** Bytes sent to the guest, and those of the guest that the host has taken, modulo 2^32. */
  #sent = 0;
  #forwarded = 0;
  /** What the guest last heard of `#forwarded`. */
  #told = 0;
  #unforwarded = 0;

  constructor(guestPort: number, hostPort: number, stream: VsockStream, isOpen: boolean) {
    this.guestPort = guestPort;
    this.hostPort = hostPort;
    this.stream = stream;
    this.isOpen = isOpen;
  }

  /** Bytes that may be sent to the guest now. */
  get credit(): number {
    return Math.max(0, this.#guestBuffer - ((this.#sent - this.#guestTook) >>> 0));
  }

  /** Bytes wait for the host to have room. */
  get isBlocked(): boolean {
    return this.#outgoing.length > 0;
  }

  /** Whether the guest may hear from the host. */
  get mayReceive(): boolean {
    const ended = (this.hostShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) | (this.guestShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV);
    return this.isOpen && !this.isDead && ended === 0;
  }

  /** Both ends have said everything. */
  get isOver(): boolean {
    const guestIsDone = (this.guestShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0 && !this.isBlocked;
    const hostIsDone = (this.hostShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0;
    return guestIsDone && (hostIsDone || this.guestShutdown === SHUTDOWN_BOTH);
  }

  /** What every packet of the guest says of its buffer. */
  takeCredit({ bufAlloc, fwdCnt }: VsockHeader): void {
    this.#guestBuffer = bufAlloc;
    this.#guestTook = fwdCnt;
  }

  /** Puts what the guest must know of our buffer, and of us, into a header. */
  fill(header: VsockHeader): void {
    header.srcPort = this.hostPort;
    header.dstPort = this.guestPort;
    header.bufAlloc = BUFFER_SIZE;
    header.fwdCnt = this.#forwarded;
    this.#told = this.#forwarded;
    this.#controls &= ~(1 << VIRTIO_VSOCK_OP_CREDIT_UPDATE);
  }

  /** So many bytes have been sent to the guest. */
  addSent(bytes: number): void {
    this.#sent = (this.#sent + bytes) >>> 0;
  }

  /** A packet without payload is to be sent to the guest. */
  plan(op: number): void {
    this.#controls |= 1 << op;
  }

  /** Takes the next packet that was planned: its operation, 0 when there is none. */
  nextControl(): number {
    for (const op of CONTROL_ORDER) {
      if ((this.#controls & (1 << op)) === 0) continue;
      this.#controls &= ~(1 << op);
      return op;
    }
    return 0;
  }

  get hasControl(): boolean {
    return this.#controls !== 0;
  }

  /** The end without ceremony: nothing else needs to be said. Closes the stream. */
  kill(): void {
    this.isDead = true;
    this.stream.close();
    this.#controls = 1 << VIRTIO_VSOCK_OP_RST;
  }

  /**
   * Sends what the guest has sent on to the host: bytes of a list from `from` on. False when that is more than the
   * guest was allowed to. Throws when the host does not read any more.
   */
  forward(list: ScatterList, from: number): boolean {
    const length = list.length - from;
    if (this.#unforwarded + length > BUFFER_SIZE) return false;
    this.#unforwarded += length;
    let done = from;
    if (!this.isBlocked) {
      const n = length === 0 ? 0 : this.stream.write(list, from);
      if (n > 0) {
        done += n;
        this.#noteForwarded(n);
      }
    }
    if (done < list.length) this.#outgoing.append(list, done);
    return true;
  }

  /** Says something to the program of the host by itself. It is short and comes before anything of the guest. */
  greet(text: string): void {
    const bytes = new TextEncoder().encode(text);
    const list = new ScatterList();
    list.add({ bytes, address: 0 }, 0, bytes.length);
    this.#unforwarded += bytes.length;
    // The guest has not sent these bytes, so they are not among those that it counts.
    this.#forwarded = (this.#forwarded - bytes.length) >>> 0;
    this.#outgoing.append(list, 0);
  }

  /** Goes on with what waits for the host. Throws when the host does not read any more. */
  flush(): void {
    while (this.isBlocked) {
      this.#list.clear();
      this.#outgoing.describe(this.#list);
      const n = this.stream.write(this.#list, 0);
      if (n === -1) return;
      this.#outgoing.drop(n);
      this.#noteForwarded(n);
    }
  }

  /** The guest hears of room when half of it has become free since it last did. */
  #noteForwarded(bytes: number): void {
    this.#unforwarded -= bytes;
    this.#forwarded = (this.#forwarded + bytes) >>> 0;
    const untold = (this.#forwarded - this.#told) >>> 0;
    if (untold >= BUFFER_SIZE / 2 && untold < 2 ** 31) this.plan(VIRTIO_VSOCK_OP_CREDIT_UPDATE);
  }
}
