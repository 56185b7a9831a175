/** What a device process leaves in shared memory when it is killed at any moment, and what its successor makes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../disk/testing/random.ts';
import { killedAt, type Mortal } from '../testing/kill-points.ts';
import { type MockDriver, MockGuest, RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import { DescriptorChain } from './descriptor-chain.ts';
import { inflightSize } from './inflight-size.ts';
import { PackedInflight } from './packed-inflight.ts';
import { PACKED_START, PackedQueue } from './packed-queue.ts';
import { SplitInflight } from './split-inflight.ts';
import { SplitQueue } from './split-queue.ts';
import type { Virtqueue } from './virtqueue.ts';

const SIZE = 4;
const FEATURES = { eventIdx: true, indirect: true };
const MEMORY = 1 << 16;

/** A driver that keeps its ring full of requests, each with a number that comes back with its answer. */
class Customer {
  readonly driver: MockDriver;
  readonly #random: Random;
  readonly #waiting = new Map<number, { token: number; slots: number }>();
  #free = SIZE;
  #token = 0;
  /** Requests to be made still. */
  left: number;

  constructor(driver: MockDriver, random: Random, requests: number) {
    this.driver = driver;
    this.#random = random;
    this.left = requests;
  }

  get isDone(): boolean {
    return this.left === 0 && this.#waiting.size === 0;
  }

  /** Takes what came back, and fills the ring. */
  turn(): void {
    for (let result = this.driver.take(); result !== undefined; result = this.driver.take()) {
      const request = this.#waiting.get(result.id);
      assert.ok(request !== undefined, `request ${result.id} came back twice`);
      this.#waiting.delete(result.id);
      this.#free += request.slots;
      assert.deepEqual([result.data[0], result.written], [request.token, 1], `the answer to request ${result.id}`);
    }
    while (this.left > 0 && this.#free > 0) {
      const indirect = this.#random.chance(25);
      const pieces = indirect ? 3 : 2 + this.#random.below(2);
      const slots = indirect ? 1 : pieces;
      if (slots > this.#free) return;
      const token = (this.#token = (this.#token + 1) & 0xff);
      const readable = [Uint8Array.of(token), ...new Array<Uint8Array>(pieces - 2).fill(Uint8Array.of(0))];
      this.#waiting.set(this.driver.add({ readable, writable: [1], indirect }), { token, slots });
      this.#free -= slots;
      this.left--;
    }
  }
}

/** A device that gives requests back out of order, several at a time, or not at all. */
function serve(queue: Virtqueue, random: Random, customer: () => void, turns: number): void {
  const held: DescriptorChain[] = [];
  /** The last one can be put back. */
  let isLast = false;
  for (let turn = 0; turn < turns; turn++) {
    if (random.chance(20)) customer();
    const chain = new DescriptorChain();
    if (random.chance(60) && queue.pop(chain)) {
      held.push(chain);
      isLast = true;
    } else if (random.chance(20) && isLast) {
      queue.unpop(held.pop()!);
      isLast = false;
    } else if (held.length > 0) {
      const count = random.chance(40) ? 1 + random.below(held.length) : 1;
      const from = random.below(held.length - count + 1);
      giveBack(queue, held.splice(from, count));
      isLast = false;
    }
  }
}

function giveBack(queue: Virtqueue, chains: readonly DescriptorChain[]): void {
  const byte = new Uint8Array(1);
  for (const { readable, writable } of chains) {
    readable.copyTo(byte);
    writable.copyFrom(byte);
  }
  const ones = chains.map(() => 1);
  if (chains.length > 1) queue.pushTogether(chains, ones, chains.length);
  else queue.push(chains[0]!, 1);
}

function open(format: RingFormat, guest: MockGuest, driver: MockDriver, area: DataView): Virtqueue {
  const { memory } = guest;
  return format === 'split'
    ? new SplitQueue(memory, SIZE, driver.addresses, FEATURES, 0, new SplitInflight(area, SIZE))
    : new PackedQueue(memory, SIZE, driver.addresses, FEATURES, PACKED_START, new PackedInflight(area, SIZE));
}

/** Kills a device at that store and perhaps its successor, and looks whether the driver gets all its answers. */
function killAndGoOn(format: RingFormat, seed: number, store: number): boolean {
  const random = new Random(seed);
  const guest = new MockGuest({ bytes: new Uint8Array(MEMORY), address: 0 });
  const driver = guest.driver(format, SIZE, FEATURES);
  const area = new DataView(new ArrayBuffer(inflightSize(SIZE)));
  const customer = new Customer(driver, random, 40);
  const life = (turns: number) => (mortal: Mortal) => {
    const turn = () => mortal.spare(() => customer.turn());
    turn();
    serve(open(format, guest, driver, area), random, turn, turns);
  };
  const wasKilled = killedAt(store, life(30));
  customer.left = Math.max(customer.left, 10);
  if (random.chance(80)) customer.turn();
  for (let i = random.below(3); i > 0; i--) killedAt(random.below(30), life(10));
  // One that lives.
  const queue = open(format, guest, driver, area);
  const chain = new DescriptorChain();
  for (let i = 0; i < 100 && !customer.isDone; i++) {
    while (queue.pop(chain)) giveBack(queue, [chain]);
    customer.turn();
  }
  assert.equal(queue.broken, undefined);
  assert.ok(customer.isDone, 'requests were forgotten');
  return wasKilled;
}

for (const format of RING_FORMATS) {
  test(`a device on a ${format} ring may be killed at any store`, () => {
    for (let seed = 1; seed <= 60; seed++) {
      for (let store = 0, more = true; more; store++) {
        try {
          more = killAndGoOn(format, seed, store);
        } catch (error) {
          throw new Error(`seed ${seed}, killed at store ${store}`, { cause: error });
        }
      }
    }
  });
}
