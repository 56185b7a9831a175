import { CrosvmError } from '../errors.ts';

export const AF_UNIX = 1;

/** sizeof(sun_path), less the NUL at the end. */
const MAX_PATH_BYTES = 107;

/** The struct sockaddr_un of a path in the file system. Throws `E_SOCKET_PATH` for one that cannot be an address. */
export function unixAddress(path: string): Uint8Array {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length === 0 || bytes.includes(0)) {
    throw new CrosvmError('E_SOCKET_PATH', `${JSON.stringify(path)} cannot be the path of a socket`);
  }
  if (bytes.length > MAX_PATH_BYTES) {
    throw new CrosvmError(
      'E_SOCKET_PATH',
      `the socket path ${path} has ${bytes.length} bytes; the system allows ${MAX_PATH_BYTES}`,
    );
  }
  const address = new Uint8Array(2 + bytes.length + 1);
  address[0] = AF_UNIX;
  address.set(bytes, 2);
  return address;
}
