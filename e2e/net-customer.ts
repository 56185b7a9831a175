/** Sends and receives frames through the queues of a network card, and is also what the card is connected to. */
import assert from 'node:assert/strict';
import { read, setNonBlocking, write } from '../src/base/fd.ts';
import { type StreamConnection, streamPair } from '../src/base/unix-stream.ts';
import type { Random } from '../src/disk/testing/random.ts';
import { NET_HEADER_SIZE, NUM_BUFFERS } from '../src/virtio/net/net-config.ts';
import type { MockDriver } from '../src/virtio/testing/mock-guest.ts';

const RECEIVE_BUFFER = 300;
const MAX_FRAME = 1500;
const MIN_FRAME = 60;

/** A frame, full of its number. */
function frame(length: number, number: number): Uint8Array {
  return new Uint8Array(new Uint32Array(length / 4).fill(number).buffer);
}

/** The number of a frame that is whole. */
function numberOf(bytes: Uint8Array): number {
  const words = new Uint32Array(new Uint8Array(bytes).buffer);
  assert.ok(words.length >= MIN_FRAME / 4, `a frame of ${bytes.length} bytes`);
  assert.ok(
    words.every((word) => word === words[0]),
    'a frame is of parts that do not belong together',
  );
  return words[0]!;
}

export class NetCustomer {
  readonly #random: Random;
  readonly #size: number;
  #memory: number;
  #peer: StreamConnection | undefined;
  /** What of a frame has not gone to the card yet. */
  #unsent = new Uint8Array(0);
  #arriving = Buffer.alloc(0);
  #toGuest = 0;
  #lastReceived = 0;
  #fromGuest = 0;
  #buffers = 0;
  #sending = 0;
  /** Of a frame to the guest: what came, and how many buffers are still to come. */
  #partial = Buffer.alloc(0);
  #partsLeft = 0;
  received = 0;
  sent = 0;

  /** `size` is that of each queue; `memory`: what the guest has for requests, in bytes. */
  constructor(random: Random, size: number, memory: number) {
    this.#random = random;
    this.#size = size;
    this.#memory = memory;
  }

  /** A new wire: the card's end. */
  newWire(): number {
    this.close();
    const [ours, theirs] = streamPair();
    setNonBlocking(ours.fd, true);
    this.#peer = ours;
    this.#unsent = new Uint8Array(0);
    this.#arriving = Buffer.alloc(0);
    return theirs.fd;
  }

  close(): void {
    this.#peer?.close();
    this.#peer = undefined;
  }

  /** Keeps both queues full. */
  fill(receiving: MockDriver, sending: MockDriver): void {
    for (; this.#buffers < this.#size && this.#take(RECEIVE_BUFFER); this.#buffers++) {
      receiving.add({ writable: [RECEIVE_BUFFER] });
    }
    for (; this.#sending < this.#size && this.#take(MAX_FRAME); this.#sending++) {
      const header = new Uint8Array(NET_HEADER_SIZE);
      sending.add({ readable: [header, frame(this.#length(), ++this.#fromGuest)], indirect: true });
    }
  }

  /** Takes what came back from the card. */
  take(receiving: MockDriver, sending: MockDriver): void {
    for (; sending.take() !== undefined; this.#sending--) this.sent++;
    for (let result = receiving.take(); result !== undefined; result = receiving.take()) {
      this.#buffers--;
      const bytes = result.data.subarray(0, result.written);
      if (this.#partsLeft === 0) {
        this.#partial = Buffer.from(bytes.subarray(NET_HEADER_SIZE));
        this.#partsLeft = new DataView(bytes.buffer, bytes.byteOffset).getUint16(NUM_BUFFERS, true);
        assert.ok(this.#partsLeft > 0 && this.#partsLeft <= this.#size, `a frame in ${this.#partsLeft} buffers`);
      } else this.#partial = Buffer.concat([this.#partial, bytes]);
      if (--this.#partsLeft > 0) continue;
      const number = numberOf(this.#partial);
      assert.ok(number > this.#lastReceived, `frame ${number} after ${this.#lastReceived}`);
      this.#lastReceived = number;
      this.received++;
    }
  }

  /** The other end of the wire: sends frames to the card, and looks at those that come. */
  turnPeer(): void {
    const fd = this.#peer?.fd;
    if (fd === undefined) return;
    try {
      for (let i = 0; i < 20; i++) {
        if (this.#unsent.length === 0) this.#unsent = onWire(frame(this.#length(), ++this.#toGuest));
        const n = write(fd, this.#unsent);
        if (n === -1) break;
        this.#unsent = this.#unsent.slice(n);
      }
      const bytes = new Uint8Array(1 << 16);
      const n = read(fd, bytes);
      if (n > 0) this.#arriving = Buffer.concat([this.#arriving, bytes.subarray(0, n)]);
    } catch {
      // The card was killed, and has another wire soon.
    }
    while (this.#arriving.length >= 4) {
      const end = 4 + this.#arriving.readUInt32BE(0);
      if (this.#arriving.length < end) break;
      numberOf(this.#arriving.subarray(4, end));
      this.#arriving = this.#arriving.subarray(end);
    }
  }

  #length(): number {
    return 4 * (MIN_FRAME / 4 + this.#random.below((MAX_FRAME - MIN_FRAME) / 4));
  }

  #take(bytes: number): boolean {
    this.#memory -= bytes + 64;
    return this.#memory > 0;
  }
}

function onWire(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(4 + bytes.length);
  new DataView(whole.buffer).setUint32(0, bytes.length);
  whole.set(bytes, 4);
  return whole;
}
