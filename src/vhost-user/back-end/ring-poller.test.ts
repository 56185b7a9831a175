import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PollWindow } from '../../base/poll-window.ts';
import { DescriptorChain } from '../../virtio/queue/descriptor-chain.ts';
import { MockGuest, RING_FORMATS, type RingFormat } from '../../virtio/testing/mock-guest.ts';
import { type PolledRing, RingPoller } from './ring-poller.ts';

/** One ring whose device takes 10 us for all requests that there are, with a clock of its own. */
function setUp(format: RingFormat) {
  let now = 0;
  const driver = new MockGuest().driver(format, 8, { eventIdx: true, indirect: true });
  const queue = driver.open();
  const poller = new RingPoller<PolledRing>(1, () => new PollWindow(() => now, true));
  const ring = { index: 0, queue };
  const chain = new DescriptorChain();
  const pass = (microseconds: number) => {
    now += microseconds;
  };
  const serve = () => {
    poller.found(ring);
    queue.disableNotification();
    while (queue.pop(chain)) queue.push(chain, 0);
    pass(10);
    assert.equal(queue.enableNotification(), false);
    poller.answered(ring);
  };
  const add = () => {
    driver.add({ writable: [1] });
    return driver.needsKick();
  };
  /** A request that comes so long after the last one was answered. */
  const requestAfter = (microseconds: number) => {
    pass(microseconds);
    const kicked = add();
    serve();
    driver.take();
    return kicked;
  };
  return { driver, queue, poller, ring, pass, serve, add, requestAfter };
}

describe('a ring poller', () => {
  for (const format of RING_FORMATS) {
    it(`${format}: spares a driver that has more soon its kicks`, () => {
      const { poller, requestAfter } = setUp(format);
      assert.deepEqual([requestAfter(0), requestAfter(30)], [true, true]);
      assert.equal(poller.isPolling, true);
      assert.deepEqual([requestAfter(40), requestAfter(50), requestAfter(3)], [false, false, false]);
    });

    it(`${format}: finds what was not kicked for`, () => {
      const { poller, ring, pass, add, requestAfter } = setUp(format);
      requestAfter(0);
      requestAfter(30);
      assert.equal(poller.poll(), undefined);
      pass(20);
      assert.equal(add(), false);
      assert.equal(poller.poll(), ring);
    });

    it(`${format}: asks for kicks again when nothing comes, and loses nothing then`, () => {
      const { poller, ring, pass, add, serve, requestAfter } = setUp(format);
      requestAfter(0);
      requestAfter(30);
      pass(1000);
      // Between the last look and the end of the window.
      assert.equal(add(), false);
      assert.equal(poller.poll(), ring);
      serve();
      assert.equal(poller.isPolling, false);
      assert.equal(add(), true);
    });

    it(`${format}: leaves a driver alone that takes its time`, () => {
      const { poller, requestAfter } = setUp(format);
      for (let i = 0; i < 5; i++) assert.equal(requestAfter(1000), true);
      assert.equal(poller.isPolling, false);
    });
  }

  it('does not look while the device has the driver wait', () => {
    const { queue, poller, ring, pass, add, requestAfter } = setUp('split');
    requestAfter(0);
    requestAfter(30);
    pass(30);
    add();
    poller.found(ring);
    const chain = new DescriptorChain();
    assert.ok(queue.pop(chain));
    assert.equal(queue.enableNotification(), false);
    poller.answered(ring);
    assert.equal(poller.isPolling, false);
    queue.push(chain, 0);
    poller.answered(ring);
    assert.equal(poller.isPolling, true);
  });

  it('forgets a ring that has stopped', () => {
    const { poller, ring, pass, requestAfter } = setUp('split');
    requestAfter(0);
    requestAfter(30);
    (ring as { queue: unknown }).queue = undefined;
    pass(1000);
    assert.equal(poller.poll(), undefined);
    assert.equal(poller.isPolling, false);
  });
});
