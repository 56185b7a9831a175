import { type HostMemory, ScatterList } from '../../memory/scatter-list.ts';
import { type DeviceHost, EPOLLIN } from '../device.ts';
import type { VsockHost, VsockStream } from './vsock-host.ts';

/** `CONNECT`, a space, ten digits and a new line fit. */
const MAX_LINE = 32;

/** Programs that have connected and not said what they want. */
const MAX_GREETERS = 64;

/** A program of the host that has said which port of the guest it wants. */
export interface Greeter {
  readonly stream: VsockStream;
  readonly port: number;
}

/** Where programs of the host that have connected say which port of the guest they want. */
export class GreeterRoom {
  readonly #sockets: VsockHost;
  readonly #host: DeviceHost;
  readonly #onGreeter: (greeter: Greeter) => void;
  readonly #waiting = new Set<VsockStream>();

  constructor(sockets: VsockHost, host: DeviceHost, onGreeter: (greeter: Greeter) => void) {
    this.#sockets = sockets;
    this.#host = host;
    this.#onGreeter = onGreeter;
    if (sockets.listenFd !== -1) host.watch(sockets.listenFd, EPOLLIN, () => this.#accept());
  }

  close(): void {
    if (this.#sockets.listenFd !== -1) this.#host.unwatch(this.#sockets.listenFd);
    for (const stream of this.#waiting) this.#dismiss(stream);
  }

  /** When too many wait, those who came first must have given up. */
  #accept(): void {
    const stream = this.#sockets.accept();
    if (stream === undefined) return;
    if (this.#waiting.size === MAX_GREETERS) this.#dismiss(this.#waiting.values().next().value!);
    this.#waiting.add(stream);
    const line: HostMemory = { bytes: new Uint8Array(MAX_LINE), address: 0 };
    let length = 0;
    this.#host.watch(stream.fd, EPOLLIN, () => {
      length = this.#listen(stream, line, length);
    });
  }

  /** Byte by byte: what follows the line is for the guest. Returns how long the line is by now. */
  #listen(stream: VsockStream, line: HostMemory, before: number): number {
    for (let length = before; ; length++) {
      const list = new ScatterList();
      list.add(line, length, 1);
      const n = length === MAX_LINE ? 0 : readOrEnd(stream, list);
      if (n === -1) return length;
      if (n === 0) {
        this.#dismiss(stream);
        return length;
      }
      if (line.bytes[length] === 0x0a) {
        this.#onLine(stream, new TextDecoder().decode(line.bytes.subarray(0, length)));
        return length;
      }
    }
  }

  #onLine(stream: VsockStream, line: string): void {
    const port = Number(/^CONNECT (\d{1,10})\r?$/i.exec(line)?.[1] ?? Number.NaN);
    if (!(port < 2 ** 32)) {
      this.#dismiss(stream);
      return;
    }
    this.#waiting.delete(stream);
    this.#host.unwatch(stream.fd);
    this.#onGreeter({ stream, port });
  }

  #dismiss(stream: VsockStream): void {
    this.#waiting.delete(stream);
    this.#host.unwatch(stream.fd);
    stream.close();
  }
}

/** An error is an end. */
function readOrEnd(stream: VsockStream, list: ScatterList): number {
  try {
    return stream.read(list);
  } catch {
    return 0;
  }
}
