import type { VsockConnection } from './vsock-connection.ts';

/** The most connections of one guest: it bounds the memory for their buffers. */
const MAX_CONNECTIONS = 512;

/** Where the ports of the host's own programs start, above those that services use. */
const FIRST_HOST_PORT = 0x4000_0000;
const HOST_PORTS = 0x4000_0000;

/** The connections of a guest, by both ports. */
export class ConnectionTable {
  readonly #byGuestPort = new Map<number, Map<number, VsockConnection>>();
  #count = 0;
  #nextHostPort = 0;

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count >= MAX_CONNECTIONS;
  }

  get(guestPort: number, hostPort: number): VsockConnection | undefined {
    return this.#byGuestPort.get(guestPort)?.get(hostPort);
  }

  add(connection: VsockConnection): void {
    const { guestPort, hostPort } = connection;
    let byHostPort = this.#byGuestPort.get(guestPort);
    if (byHostPort === undefined) this.#byGuestPort.set(guestPort, (byHostPort = new Map()));
    byHostPort.set(hostPort, connection);
    this.#count++;
  }

  delete({ guestPort, hostPort }: VsockConnection): void {
    const byHostPort = this.#byGuestPort.get(guestPort);
    if (byHostPort === undefined || !byHostPort.delete(hostPort)) return;
    if (byHostPort.size === 0) this.#byGuestPort.delete(guestPort);
    this.#count--;
  }

  /** A port of the host that has no connection with this one of the guest. */
  freeHostPort(guestPort: number): number {
    for (;;) {
      const port = FIRST_HOST_PORT + this.#nextHostPort;
      this.#nextHostPort = (this.#nextHostPort + 1) % HOST_PORTS;
      if (this.get(guestPort, port) === undefined) return port;
    }
  }

  all(): VsockConnection[] {
    return [...this.#byGuestPort.values()].flatMap((byHostPort) => [...byHostPort.values()]);
  }
}
