import { CrosvmError } from '../errors.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import type { VsockHost, VsockStream } from '../virtio/vsock/vsock-host.ts';
import { close } from './fd.ts';
import { readScattered, writeScattered } from './scatter-io.ts';
import { acceptUnix, connectUnix, SOCK_NONBLOCK, SOCK_STREAM } from './unix-listener.ts';
import { StreamConnection } from './unix-stream.ts';

/**
 * The host's ends of a guest's sockets as unix sockets: the guest reaches what listens at `PATH_PORT`, and who connects
 * to `listener`, a socket that listens and becomes the host's, reaches the guest.
 */
export function unixVsockHost(path: string, listener: number): VsockHost {
  return {
    listenFd: listener,
    connect: (port) => connectToService(`${path}_${port}`),
    accept() {
      const fd = acceptUnix(listener);
      return fd === undefined ? undefined : streamOf(new StreamConnection(fd));
    },
    close: () => close(listener),
  };
}

/** Whatever the reason is why nobody can be reached, the guest hears that the connection is refused. */
function connectToService(path: string): VsockStream | undefined {
  try {
    return streamOf(new StreamConnection(connectUnix(path, SOCK_STREAM | SOCK_NONBLOCK)));
  } catch (error) {
    if (error instanceof CrosvmError) return undefined;
    throw error;
  }
}

function streamOf(connection: StreamConnection): VsockStream {
  const { fd } = connection;
  return {
    fd,
    read: (list: ScatterList) => readScattered(fd, list),
    write: (list: ScatterList, from: number) => writeScattered(fd, list, from),
    endWriting: () => connection.endWriting(),
    close: () => connection.close(),
  };
}
