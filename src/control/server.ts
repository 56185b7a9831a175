import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type PacketConnection, PacketListener } from '../base/unix-socket.ts';
import { CrosvmError } from '../errors.ts';
import { decodeRequest, encodeResponse } from './codec.ts';
import type { VmRequest, VmResponse } from './messages.ts';

/** More connections than this at a time are closed at once. */
const MAX_CONNECTIONS = 32;
/** Who sends more requests than this without waiting for answers is not served any more. */
const MAX_WAITING = 16;

/** Carries out one request. What it throws becomes an `Err` if it is a `CrosvmError`. */
export type RequestHandler = (request: VmRequest) => VmResponse | Promise<VmResponse>;

/** Where the control socket goes: in a folder it gets a name of its own. */
export function controlSocketPath(path: string, pid = process.pid): string {
  return isFolder(path) ? join(path, `crosvm-${pid}.sock`) : path;
}

/** A path that cannot be looked at is taken as it is; binding to it will say what is wrong. */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Answers requests on a VM's control socket, on the main thread's event loop. */
export class ControlServer {
  readonly path: string;
  readonly #listener: PacketListener;
  readonly #connections = new Set<PacketConnection>();

  /** Throws `E_SOCKET_PATH` or `E_SOCKET_IN_USE`, or what the system says against `path`. */
  constructor(path: string, handler: RequestHandler) {
    this.path = path;
    this.#listener = new PacketListener(path);
    this.#listener.onConnection((connection) => this.#serve(connection, handler));
  }

  /** Ends all connections and removes the socket. */
  close(): void {
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
    this.#listener.close();
  }

  #serve(connection: PacketConnection, handler: RequestHandler): void {
    if (this.#connections.size >= MAX_CONNECTIONS) {
      connection.close();
      return;
    }
    this.#connections.add(connection);
    // Requests are answered in their order, each before the next one is looked at.
    let last: Promise<void> = Promise.resolve();
    let waiting = 0;
    connection.onMessage((packet) => {
      if (packet === undefined || ++waiting > MAX_WAITING) {
        this.#drop(connection);
        return;
      }
      last = last.then(async () => {
        const response = await answer(packet, handler);
        waiting--;
        if (this.#connections.has(connection) && !reply(connection, response)) this.#drop(connection);
      });
    });
  }

  #drop(connection: PacketConnection): void {
    this.#connections.delete(connection);
    connection.close();
  }
}

async function answer(packet: Uint8Array, handler: RequestHandler): Promise<VmResponse> {
  try {
    return await handler(decodeRequest(packet));
  } catch (error) {
    if (error instanceof CrosvmError) return { Err: error.message };
    throw error;
  }
}

/** False if the peer is gone or does not read its answers. */
function reply(connection: PacketConnection, response: VmResponse): boolean {
  try {
    connection.send(encodeResponse(response));
    return true;
  } catch {
    return false;
  }
}
