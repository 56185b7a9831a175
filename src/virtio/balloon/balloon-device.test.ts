import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import { BalloonDevice } from './balloon-device.ts';
import type { BalloonStats } from './balloon-stats.ts';

const PAGE = 4096;

function setUp(format: RingFormat, given = {}) {
  const released: [number, number][] = [];
  const options = { deflateOnOom: true, pageReporting: true, size: 0, ...given };
  const device = new BalloonDevice((_memory, start, length) => released.push([start, length]), options);
  const harness = new DeviceHarness(device, format);
  const first = harness.guest.gpa / PAGE;
  return { device, harness, released, first, pages: harness.guest.size / PAGE };
}

function numbers(...pages: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(pages).buffer);
}

function stats(...entries: [tag: number, value: bigint][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(10 * entries.length));
  for (const [i, [tag, value]] of entries.entries()) {
    view.setUint16(10 * i, tag, true);
    view.setBigUint64(10 * i + 2, value, true);
  }
  return new Uint8Array(view.buffer);
}

for (const format of RING_FORMATS) {
  test(`${format}: pages that the guest gives are released, neighbours together`, () => {
    const { harness, released, first } = setUp(format);
    const readable = [numbers(first + 3, first + 4), numbers(first + 5, first + 1, first)];
    harness.request(0, { readable });
    assert.deepEqual(released, [
      [3 * PAGE, 3 * PAGE],
      [PAGE, PAGE],
      [0, PAGE],
    ]);
    harness.request(1, { readable });
    assert.equal(released.length, 3);
    assert.deepEqual(harness.interrupts.slice(0, 2), [1, 1]);
  });

  test(`${format}: pages that are not there, come twice, or hold a ring`, () => {
    const { harness, released, first, pages } = setUp(format);
    harness.request(0, { readable: [numbers(0, 0xffff_ffff, first + pages, first - 1)] });
    assert.equal(released.length, 0);
    // The last page and one behind it.
    harness.request(0, { readable: [numbers(first + pages - 1, first + pages)] });
    assert.deepEqual(released.splice(0), [[(pages - 1) * PAGE, PAGE]]);
    harness.request(0, { readable: [numbers(first, first)] });
    assert.deepEqual(released.splice(0), [
      [0, PAGE],
      [0, PAGE],
    ]);
    // Three and a half numbers.
    harness.request(0, { readable: [numbers(first, first + 2, first + 4, first + 6).subarray(0, 14)] });
    assert.equal(released.splice(0).length, 3);
    const many = new Uint32Array(5000).map((_, i) => first + (i % 2));
    harness.request(0, { readable: [new Uint8Array(many.buffer)] });
    assert.equal(
      released.reduce((sum, [, length]) => sum + length / PAGE, 0),
      4096,
    );
    assert.equal(harness.request(0, { writable: [8] }).written, 0);
  });

  test(`${format}: pages that the guest reports are released`, () => {
    const { harness, released } = setUp(format);
    for (const queue of [3, 4]) harness.request(queue, { writable: [PAGE, 2 * PAGE] });
    assert.deepEqual(
      released.map(([, length]) => length),
      [PAGE, 2 * PAGE, PAGE, 2 * PAGE],
    );
  });

  test(`${format}: statistics come when they are asked for`, () => {
    const { device, harness } = setUp(format);
    const seen: BalloonStats[] = [];
    assert.throws(() => device.requestStats(() => {}), { code: 'E_BALLOON_STATS' });
    const queue = 2;
    assert.equal(harness.tryRequest(queue, { readable: [stats([4, 1000n])] }), undefined);
    device.requestStats((all) => seen.push(all));
    device.requestStats((all) => seen.push(all));
    assert.ok(harness.drivers[queue]!.take());
    assert.equal(harness.interrupts[queue], 1);
    harness.tryRequest(queue, { readable: [stats([4, 5n], [5, 2n ** 63n], [999, 1n], [0, 7n]).subarray(0, 39)] });
    assert.deepEqual(seen, [{ freeMemory: 5 }, { freeMemory: 5 }]);
    // A second buffer is nothing that anybody waits for.
    assert.ok(harness.tryRequest(queue, { readable: [stats()] }));
  });

  test(`${format}: the buffer for statistics survives a pause`, () => {
    const { device, harness } = setUp(format);
    harness.tryRequest(2, { readable: [stats([4, 1n])] });
    harness.restart(2);
    harness.kick(2);
    device.requestStats(() => {});
    assert.ok(harness.drivers[2]!.take());
    device.reset();
    assert.throws(() => device.requestStats(() => {}), { code: 'E_BALLOON_STATS' });
  });
}

test('the size that is wanted and the one that there is', () => {
  const { device, harness } = setUp('split', { size: 10 * PAGE });
  const view = new DataView(device.config.buffer);
  assert.equal(view.getUint32(0, true), 10);
  device.inflateTo(20 * PAGE + 1);
  assert.equal(view.getUint32(0, true), 20);
  assert.equal(harness.configChanges, 1);
  device.configWritten(4, Uint8Array.of(3, 0, 0, 0));
  device.configWritten(0, Uint8Array.of(9, 9, 9, 9));
  device.configWritten(5, Uint8Array.of(9));
  assert.equal(device.actual, 3 * PAGE);
  assert.equal(view.getUint32(0, true), 20);
});
