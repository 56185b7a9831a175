import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostMemory } from '../../memory/scatter-list.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { MockGuest, RING_FORMATS } from '../testing/mock-guest.ts';
import { RngDevice } from './rng-device.ts';

function ones({ bytes }: HostMemory, start: number, length: number): void {
  bytes.fill(1, start, start + length);
}

for (const format of RING_FORMATS) {
  test(`${format}: every byte asked for is filled, and the driver is interrupted`, () => {
    const harness = new DeviceHarness(new RngDevice(ones), format);
    const { written, data } = harness.request(0, { writable: [64, 1, 100] });
    assert.equal(written, 165);
    assert.ok(data.every((byte) => byte === 1));
    assert.deepEqual(harness.interrupts, [1]);
  });

  test(`${format}: many requests at once all come back`, () => {
    const harness = new DeviceHarness(new RngDevice(ones), format);
    for (let i = 0; i < 40; i++) harness.drivers[0]!.add({ writable: [8] });
    harness.kick(0);
    for (let i = 0; i < 40; i++) assert.equal(harness.drivers[0]!.take()?.written, 8);
  });

  test(`${format}: requests for nothing, for too much, and with something to read`, () => {
    const guest = new MockGuest({ bytes: new Uint8Array(4 << 20), address: 0 });
    const device = new RngDevice(ones);
    const harness = new DeviceHarness(device, format, device.features, guest);
    assert.equal(harness.request(0, { readable: [Uint8Array.of(1)] }).written, 0);
    const { written, data } = harness.request(0, { readable: [Uint8Array.of(1)], writable: [60_000, 1 << 20] });
    assert.equal(written, 65536);
    assert.equal(data.lastIndexOf(1), 65535);
  });
}
