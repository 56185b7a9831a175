/**
 * A driver that does what it likes: requests that are half right, rings and requests with random bytes in them, kicks,
 * resets. Its device may break its queues, and may do nothing else.
 */
import { Random } from '../../e2e/differential/random.ts';
import type { VirtioDevice } from '../../src/virtio/device.ts';
import { DeviceHarness } from '../../src/virtio/testing/device-harness.ts';
import { MockGuest, RING_FORMATS } from '../../src/virtio/testing/mock-guest.ts';
import { hostileRequest } from '../fuse/hostile-request.ts';
import { DEVICES, GUEST_CID } from './devices.ts';

const MEMORY_SIZE = 256 * 1024;
/** Bytes on both sides of guest memory that nobody may touch. */
const GUARD = 4096;
const CANARY = 0xa5;
const STEPS = 40;
/** What one step may take, in milliseconds: many times what any of them does. */
const STEP_LIMIT = 2000;

const EPOLL_EVENTS = [1, 4, 5, 0x10, 0x18, 0x2001];

/** Runs the program of a seed. Returns what the device did wrong; undefined if nothing. */
export function runHostileDriver(seed: number, only?: string): string | undefined {
  const random = new Random(seed);
  const name = only ?? random.pick(Object.keys(DEVICES));
  const buffer = new Uint8Array(MEMORY_SIZE + 2 * GUARD).fill(CANARY);
  const guest = new MockGuest({ bytes: buffer.subarray(GUARD, GUARD + MEMORY_SIZE).fill(0), address: 0 }, 0x1_0000);
  const device = DEVICES[name]!(random);
  try {
    const features = random.chance(0.7) ? device.features : device.features & random.u64();
    const harness = new DeviceHarness(device, random.pick(RING_FORMATS), features, guest);
    for (let step = 0; step < STEPS; step++) {
      const before = performance.now();
      act(random, harness, guest);
      if (performance.now() - before > STEP_LIMIT) return `${name}: step ${step} took too long`;
    }
    device.close();
  } catch (error) {
    if (error instanceof OutOfMemory) return undefined;
    return `${name}: ${error instanceof Error ? error.stack : String(error)}`;
  }
  const isWhole = [...buffer.subarray(0, GUARD), ...buffer.subarray(-GUARD)].every((byte) => byte === CANARY);
  return isWhole ? undefined : `${name}: a write beyond guest memory`;
}

/** The mock driver cannot go on; the device has nothing to do with it. */
class OutOfMemory extends Error {}

function act(random: Random, harness: DeviceHarness, guest: MockGuest): void {
  const { device } = harness;
  const queue = random.below(device.queueSizes.length);
  switch (random.below(12)) {
    case 0:
      if (random.chance(0.2)) device.reset();
      return;
    case 1:
      if (harness.watched.length > 0) harness.ready(random.pick(harness.watched), random.pick(EPOLL_EVENTS));
      return;
    case 2:
      writeConfig(random, device);
      return;
    case 3:
      if (harness.queue(queue)!.broken === undefined) {
        drain(harness, queue);
        restart(harness, queue);
      }
      return;
    case 4:
      for (let i = random.below(4); i >= 0; i--) spoil(random, guest);
      return;
    case 5:
      drain(harness, queue);
      return;
    default:
      addRequest(random, harness, queue);
      if (random.chance(0.1)) spoil(random, guest);
      if (random.chance(0.7)) harness.kick(queue);
  }
}

/** A queue that random bytes have moved may not come up again, as the device would say. */
function restart(harness: DeviceHarness, queue: number): void {
  try {
    harness.restart(queue);
  } catch (error) {
    if ((error as { code?: string }).code !== 'E_VIRTQUEUE') throw error;
  }
}

/** Takes what came back; what makes no sense to the mock driver is no concern of the device. */
function drain(harness: DeviceHarness, queue: number): void {
  try {
    while (harness.drivers[queue]!.take() !== undefined);
  } catch {}
}

function addRequest(random: Random, harness: DeviceHarness, queue: number): void {
  const readable = Array.from({ length: random.below(4) }, () => content(random, harness.device));
  const writable = Array.from({ length: random.below(4) }, () => random.pick([0, 1, 12, 16, 44, 100, 512, 513, 2000]));
  if (readable.length + writable.length === 0) writable.push(1);
  try {
    harness.drivers[queue]!.add({ readable, writable, indirect: random.chance(0.3) });
  } catch (error) {
    if (String(error).includes('memory')) throw new OutOfMemory();
  }
}

/** Bytes that a request of the device could begin with, more or less. */
function content(random: Random, device: VirtioDevice): Uint8Array {
  if (device.type === 'fs' && random.chance(0.9)) return hostileRequest(random, random.below(20));
  const bytes = new Uint8Array(random.pick([1, 2, 8, 10, 16, 32, 44, 60, 512, 528]));
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.chance(0.7) ? 0 : random.u32();
  if (device.type === 'vsock' && bytes.length >= 44) {
    view.setUint32(0, GUEST_CID, true);
    view.setUint32(8, 2, true);
    for (const at of [16, 20]) view.setUint32(at, random.below(4), true);
    view.setUint32(24, random.pick([0, bytes.length - 44]), true);
    view.setUint16(28, 1, true);
    view.setUint16(30, random.below(9), true);
    view.setUint32(36, random.pick([0, 10, 4096, 0xffff_ffff]), true);
  } else if (bytes.length >= 16 && random.chance(0.7)) {
    view.setUint32(0, random.pick([0, 1, 4, 8, 11, 13, 0x14]), true);
    view.setUint32(8, random.below(70), true);
  }
  return bytes;
}

/** Random bytes, or numbers that mean something, anywhere in guest memory; mostly where the rings are. */
function spoil(random: Random, guest: MockGuest): void {
  const at = random.below(random.chance(0.7) ? 8192 : MEMORY_SIZE - 8);
  const view = guest.view(guest.gpa + at, 8);
  const value = random.pick([
    0,
    1,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0xffff_ffff,
    guest.gpa,
    guest.gpa + MEMORY_SIZE - 1,
    random.u32(),
  ]);
  if (random.chance(0.3)) view.setUint8(0, value);
  else if (random.chance(0.5)) view.setUint16(0, value, true);
  else view.setUint32(0, value, true);
}

function writeConfig(random: Random, device: VirtioDevice): void {
  if (device.config.length === 0) return;
  const offset = random.below(device.config.length);
  const length = 1 + random.below(device.config.length - offset);
  device.configWritten?.(offset, new Uint8Array(length).fill(random.u32()));
}
