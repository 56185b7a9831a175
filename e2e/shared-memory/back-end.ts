/**
 * A back end for a test: `back-end.ts SOCKET FILE`. What the driver writes to the first byte of the configuration is the
 * number of a page of the file, which is in the shared memory from then on; 0 for none. The lower half of the numbers
 * may be written. 0xff makes the file empty, and at 0xfe the back end goes away.
 */
import { ftruncateSync } from 'node:fs';
import { O_RDWR, open } from '../../src/base/fd.ts';
import { StreamListener } from '../../src/base/unix-stream.ts';
import { serveFrontEnd } from '../../src/vhost-user/back-end/serve-front-end.ts';
import type { DeviceHost, VirtioDevice } from '../../src/virtio/device.ts';

const PAGE = 4096;
const FIRST_FIXED = 0x80;
const CUT = 0xff;
const LEAVE = 0xfe;

class Showcase implements VirtioDevice {
  readonly type = 'gpu';
  readonly features = 0n;
  readonly queueSizes = [16, 16];
  readonly config = new Uint8Array(16);
  readonly sharedMemory = [0, 2 << 20];
  readonly #fd: number;
  #host!: DeviceHost;

  constructor(path: string) {
    this.#fd = open(path, O_RDWR);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  configWritten(_offset: number, [page = 0]: Uint8Array): void {
    if (page === CUT) {
      ftruncateSync(this.#fd, 0);
      return;
    }
    if (page === LEAVE) process.exit();
    const piece = { id: 1, offset: PAGE, length: PAGE };
    // From page to page without anything in between.
    if (this.config[0] !== 0 && page === 0) this.#host.unmapShared(piece);
    this.config[0] = page;
    const source = { fd: this.#fd, fdOffset: (page % FIRST_FIXED) * PAGE, writable: page < FIRST_FIXED };
    if (page !== 0) this.#host.mapShared({ ...piece, ...source });
  }

  negotiated(): void {}
  serve(): boolean {
    return false;
  }
  reset(): void {}
  close(): void {}
}

const [socket, file] = process.argv.slice(2) as [string, string];
const listener = new StreamListener(socket);
listener.onConnection((connection) => {
  listener.close();
  serveFrontEnd(new Showcase(file), connection, (_level, line) => console.error(line));
});
