import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS } from '../testing/mock-guest.ts';
import { PmemDevice } from './pmem-device.ts';

const RANGE = { start: 0x1_4000_0000, size: 0x20_0000 };
const FLUSH = Uint8Array.of(0, 0, 0, 0);

function nothing(): void {}

test('says where the memory is', () => {
  const { config } = new PmemDevice(RANGE, nothing, nothing);
  const view = new DataView(config.buffer);
  assert.deepEqual(
    [config.length, view.getBigUint64(0, true), view.getBigUint64(8, true)],
    [16, 0x1_4000_0000n, 0x20_0000n],
  );
});

for (const format of RING_FORMATS) {
  test(`${format}: a flush reaches the file before it is answered, and its failure is told`, () => {
    let flushes = 0;
    let fails = false;
    const flush = () => {
      flushes++;
      if (fails) throw new Error('EIO');
    };
    const harness = new DeviceHarness(new PmemDevice(RANGE, flush, nothing), format);
    const { written, data } = harness.request(0, { readable: [FLUSH], writable: [4] });
    assert.deepEqual([written, [...data], flushes], [4, [0, 0, 0, 0], 1]);
    assert.deepEqual(harness.interrupts, [1]);
    fails = true;
    assert.deepEqual([...harness.request(0, { readable: [FLUSH], writable: [4] }).data], [1, 0, 0, 0]);
    fails = false;
    for (let i = 0; i < 20; i++) harness.drivers[0]!.add({ readable: [FLUSH], writable: [4] });
    harness.kick(0);
    for (let i = 0; i < 20; i++) assert.deepEqual([...harness.drivers[0]!.take()!.data], [0, 0, 0, 0]);
    assert.equal(flushes, 22);
  });

  test(`${format}: requests of other types and lengths`, () => {
    let flushes = 0;
    const harness = new DeviceHarness(new PmemDevice(RANGE, () => void flushes++, nothing), format);
    const answer = (readable: Uint8Array[], writable: number[]) => [...harness.request(0, { readable, writable }).data];
    assert.deepEqual(answer([Uint8Array.of(1, 0, 0, 0)], [4]), [1, 0, 0, 0]);
    assert.deepEqual(answer([Uint8Array.of(0, 0, 0, 1)], [4]), [1, 0, 0, 0]);
    assert.deepEqual(answer([Uint8Array.of(0, 0, 0)], [4]), [1, 0, 0, 0]);
    assert.deepEqual(answer([], [4]), [1, 0, 0, 0]);
    assert.equal(flushes, 0);
    // What a request has besides does no harm, in whatever pieces it comes.
    assert.deepEqual(answer([Uint8Array.of(0), Uint8Array.of(0, 0, 0, 7, 7)], [1, 3, 5]).slice(0, 4), [0, 0, 0, 0]);
    assert.deepEqual(answer([FLUSH], [2]), [0, 0]);
    assert.equal(harness.request(0, { readable: [FLUSH] }).written, 0);
    assert.equal(flushes, 3);
  });
}
