import { ScatterList } from '../memory/scatter-list.ts';
import { NET_HEADER_SIZE } from '../virtio/net/net-config.ts';
import type { NetPort } from '../virtio/net/net-port.ts';
import { close, setNonBlocking } from './fd.ts';
import { EAGAIN } from './ffi.ts';
import { waitWritable } from './readable.ts';
import { readScattered, writeScattered } from './scatter-io.ts';
import { SystemError } from './system-error.ts';

/** Before each frame on the wire: how many bytes it has, most significant first. */
const LENGTH_SIZE = 4;
/** The longest frame: a packet of 64 KiB, and what is before it. */
const MAX_WIRE_FRAME = 65535 + 18;
const BUFFER_SIZE = 256 * 1024;
/** How long the other end may take for the rest of a frame that it has taken a part of, in milliseconds. */
const PATIENCE = 2000;

/**
 * A network whose frames come over a stream socket, as QEMU's "-netdev stream" and passt speak it. Frames have no header
 * on the wire, so nothing can be left to the other end: no checksums, no segmentation.
 */
export class StreamNetPort implements NetPort {
  readonly fd: number;
  readonly #buffer = { bytes: new Uint8Array(BUFFER_SIZE), address: 0 };
  readonly #view = new DataView(this.#buffer.bytes.buffer);
  /** What of the buffer holds bytes that were not handed on. */
  #start = 0;
  #end = 0;
  #isOver = false;
  readonly #list = new ScatterList();
  readonly #length = { bytes: new Uint8Array(LENGTH_SIZE), address: 0 };
  readonly #lengthView = new DataView(this.#length.bytes.buffer);
  readonly #header = new Uint8Array(NET_HEADER_SIZE);

  /** The socket becomes the port's. */
  constructor(fd: number) {
    setNonBlocking(fd, true);
    this.fd = fd;
  }

  receive(list: ScatterList): number {
    let length = this.#nextLength();
    if (length === -1 && !this.#isOver) {
      this.#fill();
      length = this.#nextLength();
    }
    if (length === -1) return this.#isOver ? 0 : -1;
    const from = this.#start + LENGTH_SIZE;
    this.#start = from + length;
    const header = list.copyFrom(this.#header);
    return header + list.copyFrom(this.#buffer.bytes.subarray(from, from + length), NET_HEADER_SIZE);
  }

  /** A frame that went out in part is finished at once. */
  send(list: ScatterList): boolean {
    const length = list.length - NET_HEADER_SIZE;
    if (length <= 0 || length > MAX_WIRE_FRAME || this.#isOver) return true;
    this.#lengthView.setUint32(0, length);
    this.#list.clear();
    this.#list.add(this.#length, 0, LENGTH_SIZE);
    this.#list.addRange(list, NET_HEADER_SIZE, length);
    try {
      let done = writeScattered(this.fd, this.#list);
      if (done === -1) return false;
      while (done < this.#list.length) {
        if (!waitWritable(this.fd, PATIENCE)) throw new SystemError('writev', EAGAIN);
        done += Math.max(0, writeScattered(this.fd, this.#list, done));
      }
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#isOver = true;
    }
    return true;
  }

  setOffloads(): void {}

  setActive(): void {}

  close(): void {
    close(this.fd);
  }

  /** The length of the next frame, if all of it is here; -1 if not. One that is impossible ends everything. */
  #nextLength(): number {
    const available = this.#end - this.#start - LENGTH_SIZE;
    if (available < 0) return -1;
    const length = this.#view.getUint32(this.#start);
    if (length > MAX_WIRE_FRAME) {
      this.#isOver = true;
      this.#start = this.#end;
      return -1;
    }
    return length <= available ? length : -1;
  }

  #fill(): void {
    const { bytes } = this.#buffer;
    bytes.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    this.#list.clear();
    this.#list.add(this.#buffer, this.#end, bytes.length - this.#end);
    try {
      const n = readScattered(this.fd, this.#list);
      if (n === 0) this.#isOver = true;
      else if (n > 0) this.#end += n;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#isOver = true;
    }
  }
}
