/** Feature bits, control messages and the configuration space of console devices (VIRTIO 1.3, section 5.3). */

export const VIRTIO_CONSOLE_F_SIZE = 0;
export const VIRTIO_CONSOLE_F_MULTIPORT = 1;
export const VIRTIO_CONSOLE_F_EMERG_WRITE = 2;

export const VIRTIO_CONSOLE_DEVICE_READY = 0;
export const VIRTIO_CONSOLE_PORT_ADD = 1;
export const VIRTIO_CONSOLE_PORT_READY = 3;
export const VIRTIO_CONSOLE_CONSOLE_PORT = 4;
export const VIRTIO_CONSOLE_RESIZE = 5;
export const VIRTIO_CONSOLE_PORT_OPEN = 6;
export const VIRTIO_CONSOLE_PORT_NAME = 7;

/** struct virtio_console_control: u32 id, u16 event, u16 value. */
export const CONTROL_SIZE = 8;

/** Queues of control messages, to the driver and from it, when there are several ports. */
export const CONTROL_RECEIVE = 2;
export const CONTROL_TRANSMIT = 3;

/** Where the driver writes a character in an emergency. */
export const EMERGENCY_WRITE = 8;

const CONFIG_SIZE = 12;

/** The queue that brings input to a port. The one behind it takes the port's output. */
export function receiveQueue(port: number): number {
  return port === 0 ? 0 : 2 * port + 2;
}

/** The port that a queue belongs to; undefined for those of control messages. */
export function portOfQueue(queue: number): number | undefined {
  if (queue < CONTROL_RECEIVE) return 0;
  return queue <= CONTROL_TRANSMIT ? undefined : (queue - 2) >> 1;
}

export function isReceiveQueue(queue: number): boolean {
  return (queue & 1) === 0;
}

/** struct virtio_console_config. */
export function consoleConfig(ports: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(CONFIG_SIZE));
  view.setUint32(4, ports, true);
  return new Uint8Array(view.buffer);
}

/** The fields for the size of the first port's terminal. */
export function setConsoleSize(config: Uint8Array, columns: number, rows: number): void {
  const view = new DataView(config.buffer);
  view.setUint16(0, columns, true);
  view.setUint16(2, rows, true);
}

/** A message about a port, with what follows it. */
export function controlMessage(port: number, event: number, value: number, rest = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(CONTROL_SIZE + rest.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, port, true);
  view.setUint16(4, event, true);
  view.setUint16(6, value, true);
  bytes.set(rest, CONTROL_SIZE);
  return bytes;
}
