/** Virtio devices with hostile drivers, and their back ends with hostile front ends; `npm run fuzz -- virtio` goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEVICES } from '../fuzz/virtio/devices.ts';
import { runHostileDriver } from '../fuzz/virtio/hostile-driver.ts';
import { runHostileFrontEnd } from '../fuzz/virtio/hostile-front-end.ts';

const PROGRAMS = 300;

for (const device of Object.keys(DEVICES)) {
  test(`hostile drivers of a device of type ${device}`, () => {
    for (let seed = 0; seed < PROGRAMS; seed++) assert.equal(runHostileDriver(seed, device), undefined, `seed ${seed}`);
  });
}

test('hostile front ends', () => {
  for (let seed = 0; seed < PROGRAMS; seed++) assert.equal(runHostileFrontEnd(seed), undefined, `seed ${seed}`);
});
