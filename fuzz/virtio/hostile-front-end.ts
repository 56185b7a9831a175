/** A front end that does what it likes with messages. Its back end may refuse them, and may end the connection. */
import { readdirSync } from 'node:fs';
import { Random } from '../../e2e/differential/random.ts';
import { EventFd } from '../../src/base/event-fd.ts';
import { close } from '../../src/base/fd.ts';
import { createMemfd } from '../../src/base/memfd.ts';
import { CrosvmError } from '../../src/errors.ts';
import { encodeMessage } from '../../src/vhost-user/protocol/message.ts';
import { type FrontEndRequest, frontEndRequests } from '../../src/vhost-user/protocol/requests.ts';
import { TestFrontEnd } from '../../src/vhost-user/testing/test-front-end.ts';
import { RING_FORMATS } from '../../src/virtio/testing/mock-guest.ts';
import { DEVICES } from './devices.ts';

const STEPS = 60;
const NAMES = Object.keys(frontEndRequests) as FrontEndRequest[];

/** Runs the program of a seed. Returns what the back end did wrong; undefined if nothing. */
export function runHostileFrontEnd(seed: number): string | undefined {
  const random = new Random(seed);
  const before = openDescriptors();
  const frontEnd = new TestFrontEnd(DEVICES['rng']!(random));
  const files = [createMemfd('fuzz', 8192), EventFd.create().fd, frontEnd.guest.fd];
  let problem: string | undefined;
  try {
    if (random.chance(0.8)) frontEnd.start(random.pick(RING_FORMATS));
    for (let step = 0; step < STEPS; step++) act(random, frontEnd, files);
  } catch (error) {
    if (!(error instanceof CrosvmError)) problem = error instanceof Error ? error.stack : String(error);
  }
  frontEnd.close();
  for (const fd of files.slice(0, 2)) close(fd);
  const left = openDescriptors() - before;
  return problem ?? (left === 0 ? undefined : `${left} descriptors were left open`);
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
