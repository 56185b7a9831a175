import { type Fields, wholeNumber } from '../../fields.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import { type DeviceHost, EPOLLIN, EPOLLOUT, type VirtioDevice } from '../device.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { ConnectionTable } from './connection-table.ts';
import { type Greeter, GreeterRoom } from './greeter-room.ts';
import {
  HEADER_SIZE,
  SHUTDOWN_BOTH,
  VIRTIO_VSOCK_OP_CREDIT_REQUEST,
  VIRTIO_VSOCK_OP_CREDIT_UPDATE,
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RESPONSE,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_OP_RW,
  VIRTIO_VSOCK_OP_SHUTDOWN,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_HOST,
  VsockHeader,
} from './packet.ts';
import { VsockConnection } from './vsock-connection.ts';
import type { VsockHost } from './vsock-host.ts';

const RECEIVE = 0;
const TRANSMIT = 1;
const EVENT = 2;
const QUEUE_SIZE = 256;

/** struct virtio_vsock_event with VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (VIRTIO 1.3, 5.10.6.7). */
const TRANSPORT_RESET = new Uint8Array(4);

/** Packets handled before others have their turn. */
const BATCH = 32;

/** Refusals that wait for the driver to make room; beyond them its packets have to wait as well. */
const MAX_REFUSALS = 256;

/** The socket device (VIRTIO 1.3, section 5.10), with stream sockets, between a guest and programs of the host. */
export class VsockDevice implements VirtioDevice {
  readonly type = 'vsock';
  readonly features = 0n;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE];
  readonly config = new Uint8Array(8);
  readonly #cid: number;
  readonly #sockets: VsockHost;
  readonly #connections = new ConnectionTable();
  /** Connections with something for the guest, in the order in which they have their turn. */
  readonly #ready = new Set<VsockConnection>();
  /** Answers to packets that belong to no connection: [guest's port, host's port]. */
  readonly #refusals: [guestPort: number, hostPort: number][] = [];
  /** Connections of the guest are gone, and it has not been told. */
  #hasLost = false;
  readonly #chain = new DescriptorChain();
  readonly #payload = new ScatterList();
  readonly #received = new VsockHeader();
  readonly #sending = new VsockHeader();
  #greeters!: GreeterRoom;
  #host!: DeviceHost;

  /** `cid` is the guest's address, 3 or more. What listens on the host is the device's to close. */
  constructor(cid: number, sockets: VsockHost) {
    this.#cid = cid;
    this.#sockets = sockets;
    new DataView(this.config.buffer).setBigUint64(0, BigInt(cid), true);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
    this.#greeters = new GreeterRoom(this.#sockets, host, (greeter) => this.#requestOfHost(greeter));
  }

  negotiated(): void {}

  serve(index: number, queue: Virtqueue): boolean {
    if (index === EVENT) return this.#tellOfLoss(queue);
    const more = index === RECEIVE ? this.#toGuest(queue) : this.#fromGuest(queue);
    this.#host.interrupt(index);
    return more;
  }

  /** Connections cannot be handed on, as their other ends are programs of this host. */
  saveState(): Fields {
    return { connections: this.#connections.count };
  }

  loadState(state: Fields): void {
    if (wholeNumber(state['connections'], 'the number of connections') > 0) this.#hasLost = true;
  }

  reset(): void {
    this.#hasLost = false;
    for (const connection of this.#connections.all()) this.#remove(connection);
    this.#refusals.length = 0;
  }

  close(): void {
    this.reset();
    this.#greeters.close();
    this.#sockets.close();
  }

  /** The driver ends all of its connections when it hears of this (5.10.6.7). */
  #tellOfLoss(queue: Virtqueue): boolean {
    if (!this.#hasLost) return false;
    if (!queue.pop(this.#chain)) return queue.enableNotification();
    this.#hasLost = false;
    queue.push(this.#chain, this.#chain.writable.copyFrom(TRANSPORT_RESET));
    this.#host.interrupt(EVENT);
    return false;
  }

  #fromGuest(queue: Virtqueue): boolean {
    for (let left = BATCH; left > 0; left--) {
      // What cannot be answered is not read: `toGuest` goes on here when the driver has made room.
      if (this.#refusals.length >= MAX_REFUSALS) return false;
      if (!queue.pop(this.#chain)) return queue.enableNotification();
      this.#onPacket(this.#chain.readable);
      queue.push(this.#chain, 0);
    }
    return true;
  }

  #onPacket(packet: ScatterList): void {
    const header = this.#received;
    if (packet.copyTo(header.bytes) < HEADER_SIZE || header.srcCid !== this.#cid) return;
    const { srcPort, dstPort, op } = header;
    const connection = this.#connections.get(srcPort, dstPort);
    const isRight =
      header.dstCid === VMADDR_CID_HOST &&
      header.type === VIRTIO_VSOCK_TYPE_STREAM &&
      header.len === packet.length - HEADER_SIZE;
    if (connection !== undefined && isRight && op !== VIRTIO_VSOCK_OP_REQUEST) this.#onConnected(connection, packet);
    else if (connection !== undefined) this.#kill(connection);
    else if (op === VIRTIO_VSOCK_OP_REQUEST && isRight) this.#requestOfGuest(srcPort, dstPort);
    else if (op !== VIRTIO_VSOCK_OP_RST) this.#refuse(srcPort, dstPort);
  }

  /** A program of the guest wants to connect to one of the host. */
  #requestOfGuest(guestPort: number, hostPort: number): void {
    const stream = this.#connections.isFull ? undefined : this.#sockets.connect(hostPort);
    if (stream === undefined) {
      this.#refuse(guestPort, hostPort);
      return;
    }
    const connection = new VsockConnection(guestPort, hostPort, stream, true);
    connection.takeCredit(this.#received);
    this.#connections.add(connection);
    this.#plan(connection, VIRTIO_VSOCK_OP_RESPONSE);
  }

  /** A program of the host wants to connect to one of the guest. */
  #requestOfHost({ stream, port }: Greeter): void {
    const hostPort = this.#connections.isFull ? undefined : this.#connections.freeHostPort(port);
    if (hostPort === undefined || this.#host.queue(RECEIVE) === undefined) {
      stream.close();
      return;
    }
    const connection = new VsockConnection(port, hostPort, stream, false);
    this.#connections.add(connection);
    this.#plan(connection, VIRTIO_VSOCK_OP_REQUEST);
  }

  #onConnected(connection: VsockConnection, packet: ScatterList): void {
    if (this.#received.op === VIRTIO_VSOCK_OP_RST) this.#remove(connection);
    else if (connection.isDead) return;
    else if (this.#act(connection, packet)) this.#proceed(connection);
    else this.#kill(connection);
  }

  /** What a packet says of a connection; false when it says what it may not say. */
  #act(connection: VsockConnection, packet: ScatterList): boolean {
    const header = this.#received;
    connection.takeCredit(header);
    switch (header.op) {
      case VIRTIO_VSOCK_OP_RESPONSE:
        if (connection.isOpen) return false;
        connection.isOpen = true;
        connection.greet(`OK ${connection.hostPort}\n`);
        return true;
      case VIRTIO_VSOCK_OP_SHUTDOWN:
        connection.guestShutdown |= header.flags & SHUTDOWN_BOTH;
        return true;
      case VIRTIO_VSOCK_OP_RW:
        return this.#forward(connection, packet);
      case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        connection.plan(VIRTIO_VSOCK_OP_CREDIT_UPDATE);
        return true;
      case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        return true;
      default:
        return false;
    }
  }

  /** False for a guest that says what it may not say. A host that does not listen any more ends the connection. */
  #forward(connection: VsockConnection, packet: ScatterList): boolean {
    const maySend = connection.isOpen && (connection.guestShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) === 0;
    if (!maySend) return false;
    try {
      return connection.forward(packet, HEADER_SIZE);
    } catch {
      return false;
    }
  }

  /** Does what has become possible for a connection, and waits for the rest. */
  #proceed(connection: VsockConnection): void {
    if (connection.isDead) return;
    try {
      connection.flush();
    } catch {
      this.#kill(connection);
      return;
    }
    if (!connection.isBlocked && (connection.guestShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0) {
      connection.stream.endWriting();
    }
    if (connection.isOver) {
      this.#kill(connection);
      return;
    }
    const wantsInput = connection.mayReceive && connection.credit > 0 && !this.#ready.has(connection);
    this.#watch(connection, (wantsInput ? EPOLLIN : 0) | (connection.isBlocked ? EPOLLOUT : 0));
    if (connection.hasControl) this.#makeReady(connection);
  }

  /** A stream that nobody waits for is not watched at all: one that has hung up would wake us for ever. */
  #watch(connection: VsockConnection, events: number): void {
    const { fd } = connection.stream;
    const before = connection.watched;
    if (events === before) return;
    connection.watched = events;
    if (events === 0) this.#host.unwatch(fd);
    else if (before !== 0) this.#host.rewatch(fd, events);
    else this.#host.watch(fd, events, (ready) => this.#onStream(connection, ready));
  }

  #onStream(connection: VsockConnection, events: number): void {
    // Whatever is not room to write is something to read, an end or an error among it.
    if ((events & ~EPOLLOUT) !== 0 && connection.mayReceive) this.#makeReady(connection);
    this.#proceed(connection);
  }

  #makeReady(connection: VsockConnection): void {
    this.#ready.add(connection);
    this.#host.serveSoon(RECEIVE);
  }

  #plan(connection: VsockConnection, op: number): void {
    connection.plan(op);
    this.#makeReady(connection);
  }

  /** Ends a connection; what is left of it is to tell the guest. */
  #kill(connection: VsockConnection): void {
    if (connection.isDead) return;
    this.#watch(connection, 0);
    connection.kill();
    this.#makeReady(connection);
  }

  #remove(connection: VsockConnection): void {
    this.#watch(connection, 0);
    if (!connection.isDead) connection.stream.close();
    this.#ready.delete(connection);
    this.#connections.delete(connection);
  }

  #refuse(guestPort: number, hostPort: number): void {
    this.#refusals.push([guestPort, hostPort]);
    this.#host.serveSoon(RECEIVE);
  }

  #toGuest(queue: Virtqueue): boolean {
    for (let left = BATCH; left > 0; left--) {
      const connection = this.#ready.values().next().value;
      if (connection === undefined && this.#refusals.length === 0) return false;
      if (!queue.pop(this.#chain)) return queue.enableNotification();
      const { writable } = this.#chain;
      if (writable.length < HEADER_SIZE) queue.push(this.#chain, 0);
      else if (this.#refusals.length > 0) this.#pushRefusal(queue);
      else this.#serveReady(queue, connection!);
    }
    return true;
  }

  #pushRefusal(queue: Virtqueue): void {
    const [guestPort, hostPort] = this.#refusals.shift()!;
    const header = this.#sending;
    header.srcPort = hostPort;
    header.dstPort = guestPort;
    header.bufAlloc = 0;
    header.fwdCnt = 0;
    this.#push(queue, VIRTIO_VSOCK_OP_RST, 0, 0);
    // The guest's packets waited for this.
    this.#host.serveSoon(TRANSMIT);
  }

  /** One packet of a connection whose turn it is; it is the last in the row afterwards. */
  #serveReady(queue: Virtqueue, connection: VsockConnection): void {
    this.#ready.delete(connection);
    const op = connection.nextControl();
    if (op !== 0) {
      connection.fill(this.#sending);
      this.#push(queue, op, op === VIRTIO_VSOCK_OP_SHUTDOWN ? connection.hostShutdown : 0, 0);
      if (op === VIRTIO_VSOCK_OP_RST) this.#remove(connection);
      else this.#makeReady(connection);
      return;
    }
    if (!connection.mayReceive || connection.credit === 0) {
      queue.unpop(this.#chain);
      this.#proceed(connection);
      return;
    }
    this.#receive(queue, connection);
  }

  /** Moves input of a connection into the guest's buffer. */
  #receive(queue: Virtqueue, connection: VsockConnection): void {
    const { writable } = this.#chain;
    this.#payload.clear();
    const room = Math.min(writable.length - HEADER_SIZE, connection.credit);
    this.#payload.addRange(writable, HEADER_SIZE, room);
    const n = this.#read(connection, room);
    if (n > 0) {
      connection.addSent(n);
      connection.fill(this.#sending);
      this.#push(queue, VIRTIO_VSOCK_OP_RW, 0, n);
      this.#makeReady(connection);
      return;
    }
    queue.unpop(this.#chain);
    if (n === 0) {
      connection.hostShutdown |= VIRTIO_VSOCK_SHUTDOWN_SEND;
      connection.plan(VIRTIO_VSOCK_OP_SHUTDOWN);
    }
    this.#proceed(connection);
  }

  /** An error of the stream is its end. */
  #read(connection: VsockConnection, room: number): number {
    if (room === 0) return -1;
    try {
      return connection.stream.read(this.#payload);
    } catch {
      return 0;
    }
  }

  /** Gives the buffer in `#chain` back with a packet of which the ports and credit are set. */
  #push(queue: Virtqueue, op: number, flags: number, length: number): void {
    const header = this.#sending;
    header.srcCid = VMADDR_CID_HOST;
    header.dstCid = this.#cid;
    header.type = VIRTIO_VSOCK_TYPE_STREAM;
    header.op = op;
    header.flags = flags;
    header.len = length;
    this.#chain.writable.copyFrom(header.bytes);
    queue.push(this.#chain, HEADER_SIZE + length);
  }
}
