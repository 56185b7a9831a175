/** A 9P server on a socket, as diod's tools are clients of one: messages follow each other on a stream. */
import { createServer, type Server, type Socket } from 'node:net';
import { openFolder } from '../../src/host-folder/linux/open-folder.ts';
import { bytesList } from '../../src/memory/bytes-list.ts';
import { DEFAULT_P9_OPTIONS } from '../../src/p9/p9-options.ts';
import { P9Server } from '../../src/p9/p9-server.ts';
import { MAX_MSIZE } from '../../src/p9/protocol.ts';

const SIZE_BYTES = 4;

/** Serves a folder to whoever connects to a port of the loopback interface, each for himself. */
export async function serveOnPort(path: string): Promise<{ port: number; server: Server }> {
  const server = createServer((socket) => serve(path, socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { port: address.port, server };
}

function serve(path: string, socket: Socket): void {
  const server = new P9Server(openFolder(path), DEFAULT_P9_OPTIONS);
  const answer = new Uint8Array(MAX_MSIZE);
  let received = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    while (received.length >= SIZE_BYTES) {
      const size = received.readUInt32LE();
      if (size < SIZE_BYTES || size > MAX_MSIZE) return void socket.destroy();
      if (received.length < size) return;
      const length = server.handle(bytesList(received.subarray(0, size)), bytesList(answer));
      socket.write(Uint8Array.from(answer.subarray(0, length)));
      received = received.subarray(size);
    }
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => server.close());
}
