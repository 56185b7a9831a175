/**
 * Virtio devices with hostile drivers, their back ends with hostile front ends, and our front end with hostile back ends;
 * `npm run fuzz -- virtio` goes on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runHostileClient as runFuseClient } from '../fuzz/fuse/hostile-client.ts';
import { runHostileClient as runP9Client } from '../fuzz/p9/hostile-client.ts';
import { DEVICES } from '../fuzz/virtio/devices.ts';
import { runHostileBackEnd } from '../fuzz/virtio/hostile-back-end.ts';
import { runHostileDriver } from '../fuzz/virtio/hostile-driver.ts';
import { runHostileFrontEnd } from '../fuzz/virtio/hostile-front-end.ts';

const PROGRAMS = 300;
/** Each makes files on the host. */
const CLIENTS = 20;
/** What the fuzzer has found once: the end of a folder, which is no number that we have (on ext4). */
const FOUND_BY_FUSE = [337_907];

for (const device of Object.keys(DEVICES)) {
  test(`hostile drivers of a device of type ${device}`, () => {
    for (let seed = 0; seed < PROGRAMS; seed++) assert.equal(runHostileDriver(seed, device), undefined, `seed ${seed}`);
  });
}

test('hostile clients of a file server, in a folder that others change', () => {
  for (let seed = 0; seed < CLIENTS; seed++) {
    assert.equal(runFuseClient(seed), undefined, `FUSE, seed ${seed}`);
    assert.equal(runP9Client(seed), undefined, `9P, seed ${seed}`);
  }
  for (const seed of FOUND_BY_FUSE) assert.equal(runFuseClient(seed), undefined, `FUSE, seed ${seed}`);
});

test('hostile front ends', () => {
  for (let seed = 0; seed < PROGRAMS; seed++) assert.equal(runHostileFrontEnd(seed), undefined, `seed ${seed}`);
});

test('hostile back ends', async () => {
  for (let seed = 0; seed < PROGRAMS; seed++) assert.equal(await runHostileBackEnd(seed), undefined, `seed ${seed}`);
});
