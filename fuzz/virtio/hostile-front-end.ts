/** A front end that does what it likes with messages. Its back end may refuse them, and may end the connection. */
import { readdirSync } from 'node:fs';
import { Random } from '../../e2e/differential/random.ts';
import { EventFd } from '../../src/base/event-fd.ts';
import { close, closeAll, pipe, writeAll } from '../../src/base/fd.ts';
import { createMemfd } from '../../src/base/memfd.ts';
import { CrosvmError } from '../../src/errors.ts';
import { encodeMessage } from '../../src/vhost-user/protocol/message.ts';
import { type FrontEndRequest, frontEndRequests } from '../../src/vhost-user/protocol/requests.ts';
import { TestFrontEnd } from '../../src/vhost-user/testing/test-front-end.ts';
import type { VirtioDevice } from '../../src/virtio/device.ts';
import { encodeDeviceState } from '../../src/virtio/device-state.ts';
import { RING_FORMATS } from '../../src/virtio/testing/mock-guest.ts';
import { DEVICES, diskOf } from './devices.ts';

const STEPS = 60;
/** Devices that watch no descriptors, as those of a fuzzed device are none. */
const QUIET: readonly ((random: Random) => VirtioDevice)[] = [
  ...(['rng', 'balloon', 'pmem', '9p'] as const).map((name) => DEVICES[name]!),
  (random) => diskOf(random),
];
const NAMES = Object.keys(frontEndRequests) as FrontEndRequest[];

/** Runs the program of a seed. Returns what the back end did wrong; undefined if nothing. */
export function runHostileFrontEnd(seed: number): string | undefined {
  const random = new Random(seed);
  const before = openDescriptors();
  const frontEnd = new TestFrontEnd(random.pick(QUIET)(random));
  const own = [createMemfd('fuzz', 8192), EventFd.create().fd, ...statePipe(random, frontEnd)];
  const files = [...own, frontEnd.guest.fd];
  let problem: string | undefined;
  try {
    if (random.chance(0.8)) frontEnd.start(random.pick(RING_FORMATS));
    for (let step = 0; step < STEPS; step++) act(random, frontEnd, files);
  } catch (error) {
    if (!(error instanceof CrosvmError)) problem = error instanceof Error ? error.stack : String(error);
  }
  frontEnd.close();
  closeAll(own);
  const left = openDescriptors() - before;
  return problem ?? (left === 0 ? undefined : `${left} descriptors were left open`);
}

/** A pipe in which there may be the state of a device, or something like it. */
function statePipe(random: Random, frontEnd: TestFrontEnd): number[] {
  const [reader, writer] = pipe();
  const state = encodeDeviceState(frontEnd.backEnd.runner.device);
  for (let i = random.below(3); i > 0; i--) state[random.below(state.length)] = random.u32();
  if (random.chance(0.5)) writeAll(writer, state);
  if (random.chance(0.5)) return [reader, writer];
  close(writer);
  return [reader];
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Sends one message and lets the back end handle it; what it answers is thrown away. */
function act(random: Random, frontEnd: TestFrontEnd, files: readonly number[]): void {
  const id = random.chance(0.05) ? random.u32() : frontEndRequests[random.pick(NAMES)].id;
  const payload = randomPayload(random, frontEnd);
  const fds = Array.from({ length: random.chance(0.5) ? 0 : random.below(3) }, () => random.pick(files));
  frontEnd.sendRaw(encodeMessage(id, random.pick([0, 8, 8, 4]), payload), fds);
  if (random.chance(0.3)) frontEnd.kickAll();
  frontEnd.run();
}

function randomPayload(random: Random, frontEnd: TestFrontEnd): Uint8Array {
  const region = frontEnd.guest.sharedRegion;
  const bytes = new Uint8Array(random.pick([0, 8, 8, 8, 12, 16, 20, 24, 40, 40, 72, 104, 300]));
  const view = new DataView(bytes.buffer);
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const value = random.pick([0, 0, 1, 2, 64, 256, 4096, region.size, region.guestAddress, 0xffff_ffff, random.u32()]);
    view.setUint32(at, value, true);
  }
  return bytes;
}
