import { type Fields, list, wholeNumber } from '../../fields.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import type { DeviceHost, VirtioDevice } from '../device.ts';
import { type FeatureSet, featureSet, hasFeature } from '../features.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import {
  CONTROL_RECEIVE,
  CONTROL_SIZE,
  CONTROL_TRANSMIT,
  consoleConfig,
  controlMessage,
  EMERGENCY_WRITE,
  isReceiveQueue,
  portOfQueue,
  setConsoleSize,
  VIRTIO_CONSOLE_CONSOLE_PORT,
  VIRTIO_CONSOLE_DEVICE_READY,
  VIRTIO_CONSOLE_F_EMERG_WRITE,
  VIRTIO_CONSOLE_F_MULTIPORT,
  VIRTIO_CONSOLE_F_SIZE,
  VIRTIO_CONSOLE_PORT_ADD,
  VIRTIO_CONSOLE_PORT_NAME,
  VIRTIO_CONSOLE_PORT_OPEN,
  VIRTIO_CONSOLE_PORT_READY,
  VIRTIO_CONSOLE_RESIZE,
} from './console-config.ts';
import { ConsolePort, type PortOptions, parsePortState } from './console-port.ts';

const QUEUE_SIZE = 256;

/** The queue of the first port's input. */
const FIRST_RECEIVE = 0;

/** Control messages taken before others have their turn. */
const BATCH = 16;

/** Messages to a driver that does not take them; more than any sequence of ours needs for each port. */
const MAX_PENDING_PER_PORT = 16;

/** Bytes of the longest message: one with a name. */
const MAX_MESSAGE = 1024;

/** A console device of one or several ports (VIRTIO 1.3, section 5.3). */
export class ConsoleDevice implements VirtioDevice {
  readonly type = 'console';
  readonly features: FeatureSet;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #options: readonly PortOptions[];
  #ports: readonly ConsolePort[] = [];
  #host!: DeviceHost;
  #multiport = false;
  readonly #chain = new DescriptorChain();
  readonly #message = new Uint8Array(CONTROL_SIZE);
  readonly #messageView = new DataView(this.#message.buffer);
  /** Control messages that wait for the driver to make room. */
  readonly #pending: Uint8Array[] = [];
  /** The message that says how large a port's terminal is, if that is known. */
  readonly #sizes = new Map<number, Uint8Array>();
  /** The driver has not been told of the size that there is. */
  #isSizeUnread = false;
  readonly #emergency = { bytes: new Uint8Array(1), address: 0 };

  /** The first port is what a driver that knows only one gets. Inputs and outputs are the device's to close. */
  constructor(ports: readonly [PortOptions, ...PortOptions[]]) {
    this.#options = ports;
    // Only control messages say names.
    const hasControl = ports.length > 1 || ports[0].name !== '';
    const queues = hasControl ? 2 * (ports.length + 1) : 2;
    this.queueSizes = new Array<number>(queues).fill(QUEUE_SIZE);
    this.config = consoleConfig(ports.length);
    const bits = [VIRTIO_CONSOLE_F_SIZE, VIRTIO_CONSOLE_F_EMERG_WRITE];
    if (hasControl) bits.push(VIRTIO_CONSOLE_F_MULTIPORT);
    this.features = featureSet(...bits);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
    this.#ports = this.#options.map((options, index) => new ConsolePort(index, options, host));
  }

  negotiated(features: FeatureSet): void {
    this.#multiport = hasFeature(features, VIRTIO_CONSOLE_F_MULTIPORT);
    // Without control messages nobody says that a port is open.
    if (!this.#multiport) this.#ports[0]!.setOpen(true);
    this.#isSizeUnread = !this.#multiport && this.#sizes.has(0);
  }

  configWritten(offset: number, bytes: Uint8Array): void {
    if (offset !== EMERGENCY_WRITE) return;
    this.#emergency.bytes[0] = bytes[0]!;
    const list = new ScatterList();
    list.add(this.#emergency, 0, 1);
    this.#ports[0]!.emergencyWrite(list);
  }

  serve(index: number, queue: Virtqueue): boolean {
    if (index === CONTROL_RECEIVE) return this.#sendPending(queue);
    if (index === CONTROL_TRANSMIT) return this.#takeMessages(queue);
    if (this.#isSizeUnread && index === FIRST_RECEIVE) this.#announceSize(queue);
    const port = this.#ports[portOfQueue(index)!]!;
    return isReceiveQueue(index) ? port.receive(queue) : port.transmit(queue);
  }

  queueStopping(index: number): void {
    const port = portOfQueue(index);
    if (port !== undefined) this.#ports[port]!.pause(isReceiveQueue(index));
  }

  /** The terminal behind a port has another size now, in characters. */
  resize(port: number, columns: number, rows: number): void {
    this.#sizes.set(port, sizeMessage(port, columns, rows));
    if (port === 0) {
      setConsoleSize(this.config, columns, rows);
      this.#host.configChanged();
    }
    if (this.#multiport) this.#send(this.#sizes.get(port)!);
  }

  saveState(): Fields {
    const messages = this.#pending.map((message) => [...message]);
    return { ports: this.#ports.map((port) => port.saveState()), messages };
  }

  loadState(state: Fields): void {
    const ports = list(state['ports'], 'the ports', this.#ports.length).map(parsePortState);
    if (ports.length !== this.#ports.length) throw new TypeError(`it has ${ports.length} ports`);
    const most = MAX_PENDING_PER_PORT * ports.length;
    const messages = list(state['messages'], 'the messages', most).map((message) =>
      Uint8Array.from(list(message, 'a message', MAX_MESSAGE), (byte) => wholeNumber(byte, 'a byte', 0xff)),
    );
    for (const [i, port] of ports.entries()) this.#ports[i]!.loadState(port);
    this.#pending.splice(0, this.#pending.length, ...messages);
  }

  reset(): void {
    this.#pending.length = 0;
    this.#isSizeUnread = false;
    this.#multiport = false;
    for (const port of this.#ports) port.reset();
  }

  close(): void {
    for (const port of this.#ports) port.close();
  }

  /** Linux reads the size only when it changes; when it has buffers for input it runs, and can be told. */
  #announceSize(queue: Virtqueue): void {
    if (!queue.pop(this.#chain)) return;
    queue.unpop(this.#chain);
    this.#isSizeUnread = false;
    this.#host.configChanged();
  }

  #takeMessages(queue: Virtqueue): boolean {
    for (let left = BATCH; left > 0; left--) {
      if (!queue.pop(this.#chain)) {
        this.#host.interrupt(CONTROL_TRANSMIT);
        return queue.enableNotification();
      }
      if (this.#chain.readable.copyTo(this.#message) === CONTROL_SIZE) this.#onMessage();
      queue.push(this.#chain, 0);
      // A driver that talks and does not listen.
      if (this.#pending.length > MAX_PENDING_PER_PORT * this.#ports.length) this.#pending.length = 0;
    }
    this.#host.interrupt(CONTROL_TRANSMIT);
    return true;
  }

  #onMessage(): void {
    const id = this.#messageView.getUint32(0, true);
    const event = this.#messageView.getUint16(4, true);
    const value = this.#messageView.getUint16(6, true);
    if (event === VIRTIO_CONSOLE_DEVICE_READY) {
      if (value === 1)
        for (const index of this.#ports.keys()) this.#send(controlMessage(index, VIRTIO_CONSOLE_PORT_ADD, 1));
      return;
    }
    const port = this.#ports[id];
    if (port === undefined) return;
    if (event === VIRTIO_CONSOLE_PORT_READY && value === 1) this.#introduce(id, port.options);
    else if (event === VIRTIO_CONSOLE_PORT_OPEN) port.setOpen(value === 1);
  }

  /** What the driver has to know of a port that it has made ready. */
  #introduce(id: number, { name, isConsole }: PortOptions): void {
    const size = this.#sizes.get(id);
    if (isConsole) this.#send(controlMessage(id, VIRTIO_CONSOLE_CONSOLE_PORT, 1));
    if (isConsole && size !== undefined) this.#send(size);
    if (name !== '') this.#send(controlMessage(id, VIRTIO_CONSOLE_PORT_NAME, 1, new TextEncoder().encode(name)));
    this.#send(controlMessage(id, VIRTIO_CONSOLE_PORT_OPEN, 1));
  }

  #send(message: Uint8Array): void {
    this.#pending.push(message);
    this.#host.serveSoon(CONTROL_RECEIVE);
  }

  #sendPending(queue: Virtqueue): boolean {
    while (this.#pending.length > 0 && queue.pop(this.#chain)) {
      queue.push(this.#chain, this.#chain.writable.copyFrom(this.#pending.shift()!));
    }
    this.#host.interrupt(CONTROL_RECEIVE);
    return queue.enableNotification() && this.#pending.length > 0;
  }
}

/**
 * Rows before columns, as Linux has taken them since before there was a specification, and QEMU sends them. VIRTIO 1.3
 * (5.3.6.2) has them the other way round.
 */
function sizeMessage(port: number, columns: number, rows: number): Uint8Array {
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, rows | (columns << 16), true);
  return controlMessage(port, VIRTIO_CONSOLE_RESIZE, 0, size);
}
