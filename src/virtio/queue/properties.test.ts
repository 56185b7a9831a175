/** Queues whose requests come back in any order, whose device puts some back, and whose back end may die at any time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { runs } from '../../disk/testing/arbitrary.ts';
import { MockGuest, RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import { PackedDriver } from '../testing/packed-driver.ts';
import { SplitDriver } from '../testing/split-driver.ts';
import { DescriptorChain, KeptChain } from './descriptor-chain.ts';
import { inflightSize } from './inflight-size.ts';
import { PackedInflight } from './packed-inflight.ts';
import { PACKED_START, PackedQueue } from './packed-queue.ts';
import { SplitInflight } from './split-inflight.ts';
import { SplitQueue } from './split-queue.ts';
import type { Virtqueue } from './virtqueue.ts';

const SIZE = 16;
const FEATURES = { eventIdx: true, indirect: true };

type Step =
  | { readonly kind: 'add'; readonly pieces: number; readonly indirect: boolean }
  | { readonly kind: 'pop' | 'unpop' | 'take' | 'stop' | 'die' }
  | { readonly kind: 'push'; readonly which: number };

const arbitrarySteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof<fc.MaybeWeightedArbitrary<Step>[]>(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('add' as const),
        pieces: fc.integer({ min: 1, max: 4 }),
        indirect: fc.boolean(),
      }),
    },
    { weight: 8, arbitrary: fc.constantFrom<Step>({ kind: 'pop' }, { kind: 'pop' }, { kind: 'take' }) },
    { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'unpop' }, { kind: 'stop' }, { kind: 'die' }) },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('push' as const), which: fc.nat(5) }) },
  ),
  { maxLength: 150, size: 'max' },
);

class Subject {
  readonly #format: RingFormat;
  readonly #guest = new MockGuest();
  readonly #driver: PackedDriver | SplitDriver;
  readonly #area = new DataView(new ArrayBuffer(inflightSize(SIZE)));
  readonly #chain = new DescriptorChain();
  #queue: Virtqueue;
  /** Requests that the device has. */
  #held: KeptChain[] = [];
  /** The last step took a request. */
  #mayUnpop = false;
  /** Descriptors in use. */
  #slots = 0;
  /** Bytes to write of each request that did not come back. */
  readonly #open = new Map<number, { bytes: number; slots: number }>();
  came = 0;

  constructor(format: RingFormat) {
    this.#format = format;
    const Driver = format === 'split' ? SplitDriver : PackedDriver;
    this.#driver = new Driver(this.#guest, SIZE, FEATURES);
    this.#queue = this.#start();
  }

  step(step: Step): void {
    const mayUnpop = this.#mayUnpop;
    this.#mayUnpop = false;
    if (step.kind === 'add') this.#add(step.pieces, step.indirect);
    else if (step.kind === 'pop') this.#pop();
    else if (step.kind === 'push') this.#push(step.which);
    else if (step.kind === 'take') this.#take();
    else if (step.kind === 'unpop') {
      if (mayUnpop) this.#queue.unpop(this.#held.pop()!);
    } else this.#restart(step.kind === 'stop');
  }

  /** All that is open comes back. */
  finish(): void {
    do this.#pop();
    while (this.#mayUnpop);
    while (this.#held.length > 0) this.#push(0);
    while (this.#take());
    assert.equal(this.#open.size, 0);
  }

  #start(): Virtqueue {
    const { addresses } = this.#driver;
    const { memory } = this.#guest;
    return this.#format === 'split'
      ? new SplitQueue(memory, SIZE, addresses, FEATURES, 0, new SplitInflight(this.#area, SIZE))
      : new PackedQueue(memory, SIZE, addresses, FEATURES, PACKED_START, new PackedInflight(this.#area, SIZE));
  }

  #add(pieces: number, indirect: boolean): void {
    const slots = indirect ? 1 : pieces;
    if (this.#slots + slots > SIZE) return;
    const bytes = 1 + (this.came % 7);
    const id = this.#driver.add({ writable: new Array(pieces).fill(bytes), indirect });
    this.#slots += slots;
    this.#open.set(id, { bytes: pieces * bytes, slots });
  }

  #pop(): void {
    const found = this.#queue.pop(this.#chain);
    assert.equal(this.#queue.broken, undefined);
    this.#mayUnpop = found;
    if (!found) return;
    const { id, writable } = this.#chain;
    assert.equal(writable.length, this.#open.get(id)?.bytes);
    assert.ok(!this.#held.some((held) => held.id === id), `request ${id} was taken twice`);
    const kept = new KeptChain();
    kept.keep(this.#chain);
    this.#held.push(kept);
  }

  #push(which: number): void {
    if (this.#held.length === 0) return;
    const [chain] = this.#held.splice(which % this.#held.length, 1) as [KeptChain];
    this.#queue.push(chain, chain.id % 5);
  }

  #take(): boolean {
    const result = this.#driver.take();
    if (result === undefined) return false;
    const { id, written } = result;
    const request = this.#open.get(id);
    assert.ok(request !== undefined, `request ${id} came back twice`);
    assert.equal(written, id % 5);
    this.#open.delete(id);
    this.#slots -= request.slots;
    this.came++;
    return true;
  }

  /** Another back end goes on: after a stop, in which all is given back, or without. */
  #restart(isStop: boolean): void {
    while (isStop && this.#held.length > 0) this.#push(0);
    this.#held = [];
    this.#queue = this.#start();
  }
}

for (const format of RING_FORMATS) {
  test(`${format}: each request comes back once, whatever happens`, () => {
    let came = 0;
    const property = fc.property(arbitrarySteps, (steps) => {
      const subject = new Subject(format);
      for (const step of steps) subject.step(step);
      subject.finish();
      came += subject.came;
    });
    fc.assert(property, runs(100));
    assert.ok(came > 1000, `${came} requests`);
  });
}
