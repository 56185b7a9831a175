import { connectPacket } from '../base/unix-socket.ts';
import { CrosvmError } from '../errors.ts';
import { decodeResponse, encodeRequest } from './codec.ts';
import type { VmRequest } from './messages.ts';

const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Sends one request to the VM whose control socket is at `path` and waits, blocking, for its answer. Throws
 * `E_SOCKET_CONNECT`, `E_SOCKET_TIMEOUT`, or `E_CONTROL` with the reason if the VM refuses.
 */
export function sendRequest(path: string, request: VmRequest): void {
  const connection = connectPacket(path);
  try {
    connection.send(encodeRequest(request));
    const packet = connection.receive(ANSWER_TIMEOUT_MS);
    if (packet === undefined) throw new CrosvmError('E_CONTROL', `the VM at ${path} closed the connection`);
    const response = decodeResponse(packet);
    if (response !== 'Ok') throw new CrosvmError('E_CONTROL', `the VM at ${path} refused: ${response.Err}`);
  } finally {
    connection.close();
  }
}
