/** Writes to a disk through a queue, reads it back, and knows what has to be there. */
import assert from 'node:assert/strict';
import type { Random } from '../src/disk/testing/random.ts';
import { SECTOR_SIZE, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT } from '../src/virtio/block/block-config.ts';
import type { MockDriver } from '../src/virtio/testing/mock-guest.ts';

/** Bytes of a request, and of the memory that one takes for ever. */
const BLOCK = 1024;
const REQUEST_MEMORY = BLOCK + 128;

interface Open {
  readonly block: number;
  readonly slots: number;
  /** What it writes; undefined for a read. */
  readonly version: number | undefined;
}

export class DiskCustomer {
  readonly #driver: MockDriver;
  readonly #random: Random;
  /** What each block has: a number that all of it is full of. */
  readonly versions: Uint32Array;
  readonly #busy = new Set<number>();
  readonly #open = new Map<number, Open>();
  /** Bytes from the start of a block to that of the next one. */
  readonly #spread: number;
  #free: number;
  #memory: number;
  #version = 0;
  /** Requests that came back. */
  done = 0;

  /** `blocks` of the disk are used, `size` is that of the queue; `memory`: what the guest has for requests, in bytes. */
  constructor(
    driver: MockDriver,
    random: Random,
    { blocks, spread, size, memory }: { blocks: number; spread: number; size: number; memory: number },
  ) {
    this.#driver = driver;
    this.#random = random;
    this.versions = new Uint32Array(blocks);
    this.#spread = spread;
    this.#free = size;
    this.#memory = memory;
  }

  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** Makes requests until the ring is full. */
  fill(): void {
    for (;;) {
      const indirect = this.#random.chance(50);
      const slots = indirect ? 1 : 3;
      const block = this.#random.below(this.versions.length);
      if (slots > this.#free || this.#busy.has(block)) return;
      this.#memory -= REQUEST_MEMORY;
      if (this.#memory < 0) return;
      const version = this.#random.chance(70) ? ++this.#version : undefined;
      const header = new DataView(new ArrayBuffer(16));
      header.setUint32(0, version === undefined ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, true);
      header.setUint32(8, (block * this.#spread) / SECTOR_SIZE, true);
      const head = new Uint8Array(header.buffer);
      const data = version === undefined ? [] : [new Uint8Array(new Uint32Array(BLOCK / 4).fill(version).buffer)];
      const writable = version === undefined ? [BLOCK, 1] : [1];
      const id = this.#driver.add({ readable: [head, ...data], writable, indirect });
      this.#open.set(id, { block, slots, version });
      this.#busy.add(block);
      this.#free -= slots;
    }
  }

  /** Takes and checks what came back. */
  take(): void {
    for (let result = this.#driver.take(); result !== undefined; result = this.#driver.take()) {
      const { block, slots, version } = this.#open.get(result.id)!;
      this.#open.delete(result.id);
      this.#busy.delete(block);
      this.#free += slots;
      this.done++;
      assert.equal(
        result.data.at(-1),
        0,
        `the request failed (${version === undefined ? 'read' : 'write'} of ${block})`,
      );
      if (version !== undefined) this.versions[block] = version;
      else this.check(block, new Uint32Array(result.data.buffer, 0, BLOCK / 4));
    }
  }

  /** Checks what was read of a block. */
  check(block: number, words: Uint32Array): void {
    const wrong = words.find((word) => word !== this.versions[block]);
    assert.equal(wrong, undefined, `block ${block} has ${wrong} and not ${this.versions[block]}`);
  }

  /** Checks all of a disk's contents. */
  checkAll(contents: Uint8Array): void {
    for (const block of this.versions.keys()) {
      this.check(block, new Uint32Array(contents.slice(block * this.#spread, block * this.#spread + BLOCK).buffer));
    }
  }
}
