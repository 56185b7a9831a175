/** A back end that says what it likes to our front end, which may give the device up, and nothing else. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Random } from '../../e2e/differential/random.ts';
import { type StreamConnection, streamPair } from '../../src/base/unix-stream.ts';
import { CrosvmError } from '../../src/errors.ts';
import type { VmAccess } from '../../src/hypervisor/hypervisor.ts';
import { createWindowState, MemoryWindow, type WindowHost, type WindowPiece } from '../../src/memory/memory-window.ts';
import { INTERRUPT_LINE, NO_INTERRUPT, type QueueSetup } from '../../src/pci/virtio-pci/virtio-link.ts';
import { serveBackEnd } from '../../src/vhost-user/front-end/back-end-requests.ts';
import { RefusedError } from '../../src/vhost-user/front-end/front-end.ts';
import { SharedMemory } from '../../src/vhost-user/front-end/shared-memory.ts';
import { VhostUserLink } from '../../src/vhost-user/front-end/vhost-user-link.ts';
import { SharedGuest } from '../../src/vhost-user/testing/test-front-end.ts';
import { type VirtioDeviceName, virtioDeviceTypes } from '../../src/virtio/device-types.ts';
import { featureSet, VIRTIO_F_VERSION_1 } from '../../src/virtio/features.ts';
import { describeDevice, greetBackEnd } from '../../src/vm/devices/connect-device.ts';
import type { DevicePlan } from '../../src/vm/devices/plan.ts';
import { closeWiring } from '../../src/vm/devices/wiring.ts';
import type { LyingOrder } from './lying-back-end.ts';

const STEPS = 25;
/** What one access may take, in milliseconds: the back end never keeps it waiting. */
const STEP_LIMIT = 2000;
const WINDOW_LIMIT = 2 ** 40;
const TYPES = Object.keys(virtioDeviceTypes) as VirtioDeviceName[];

/** One thread for all programs; it keeps no process alive. */
let thread: Worker | undefined;

async function liar(): Promise<Worker> {
  if (thread === undefined) {
    thread = new Worker(new URL('./lying-back-end.ts', import.meta.url));
    await once(thread, 'message');
  }
  return thread;
}

/** Runs the program of a seed. Settles with what the front end did wrong; undefined if nothing. */
export async function runHostileBackEnd(seed: number): Promise<string | undefined> {
  const worker = await liar();
  const before = openDescriptors();
  const [ours, theirs] = streamPair();
  const isOver = once(worker, 'message');
  worker.ref();
  worker.postMessage({ fd: theirs.fd, seed } satisfies LyingOrder);
  let problem: string | undefined;
  const random = new Random(~seed);
  try {
    using device = await connect(random, ours);
    for (let step = 0; step < STEPS && problem === undefined && !device.link.isGone(); step++) {
      problem = act(random, device);
      if (random.chance(0.3)) await setImmediate();
    }
  } catch (error) {
    if (!(error instanceof CrosvmError)) problem = error instanceof Error ? error.stack : String(error);
  }
  ours.close();
  await isOver;
  worker.unref();
  const left = openDescriptors() - before;
  return problem ?? (left === 0 ? undefined : `${left} descriptors were left open`);
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

interface Connected extends Disposable {
  readonly link: VhostUserLink;
  readonly queues: number;
  readonly configSize: number;
}

/** A device as a VM has it, as far as it comes up. */
async function connect(random: Random, connection: StreamConnection): Promise<Connected> {
  using opened = new DisposableStack();
  const type = random.pick(TYPES);
  const plan: DevicePlan = {
    ...{ name: 'the device', type, source: { kind: 'socket', path: '' }, slot: 1, packed: random.chance(0.5) },
    tag: type === 'fs' && random.chance(0.5) ? 'fuzz' : undefined,
  };
  const backEnd = await greetBackEnd(connection, plan.type);
  opened.defer(() => backEnd.requests.close());
  const place = { firstGsi: 24, window: 0, files: [] };
  const handle = describeDevice(plan, backEnd, connection.fd, place);
  opened.defer(() => closeWiring(handle.backEnd.wiring));
  const { sharedMemory, maxQueueSizes, configSize } = handle.spec;
  const memory = sharedMemory && new SharedMemory(checkedWindow(sharedMemory.size), sharedMemory.regions);
  const requests = serveBackEnd(backEnd.requests, { configChanged() {}, sharedMemory: memory });
  opened.defer(() => requests.close());
  const guest = opened.adopt(new SharedGuest(1 << 20), (one) => one.close());
  const link = opened.adopt(new VhostUserLink(handle.backEnd, machine(guest)), (one) => one.close());
  const resources = opened.move();
  return { link, queues: maxQueueSizes.length, configSize, [Symbol.dispose]: () => resources.dispose() };
}

function machine(guest: SharedGuest): VmAccess {
  const memory = {
    regions: [{ gpa: guest.gpa, size: guest.size, fdOffset: 0 }],
    getU16: (gpa: number) => guest.view(gpa, 2).getUint16(0, true),
  };
  return { memory, memoryFd: guest.fd, addIoEvent() {}, removeIoEvent() {} } as unknown as VmAccess;
}

/** A window whose pieces have to lie in it, and apart. */
function checkedWindow(size: number): MemoryWindow {
  if (size > WINDOW_LIMIT) throw new Error(`a window of ${size} bytes`);
  const pieces = new Map<number, WindowPiece>();
  const host: WindowHost = {
    isFree: () => true,
    place() {},
    replace() {},
    attach(piece) {
      const end = piece.offset + piece.length;
      const isApart = [...pieces.values()].every(
        ({ offset, length }) => end <= offset || offset + length <= piece.offset,
      );
      if (piece.length <= 0 || end > size || !isApart) throw new Error(`a piece of ${piece.length} at ${piece.offset}`);
      pieces.set(piece.index, piece);
    },
    detach: ({ index }) => void pieces.delete(index),
    show() {},
    hide() {},
  };
  const options = { size, maxPieces: 8 };
  return new MemoryWindow(options, createWindowState(options), host);
}

/** One access of the driver. Returns what went wrong that is not the back end's fault. */
function act(random: Random, device: Connected): string | undefined {
  const before = performance.now();
  let lost = false;
  try {
    access(random, device);
  } catch (error) {
    if (!(error instanceof CrosvmError)) throw error;
    lost = !(error instanceof RefusedError);
  }
  if (performance.now() - before > STEP_LIMIT) return 'an access took too long';
  return lost && !device.link.isGone() ? 'a connection of no use is still used' : undefined;
}

function access(random: Random, { link, queues, configSize }: Connected): void {
  const setups = Array.from({ length: queues }, (_, index) => setup(random, index)).filter(() => random.chance(0.8));
  const features = random.u64() | featureSet(VIRTIO_F_VERSION_1);
  const start = () => link.start(features, setups);
  const actions: (() => void)[] = [
    start,
    start,
    () => link.restart(features, setups),
    () => link.stop(),
    () => link.setInterrupt(random.below(queues), random.pick([INTERRUPT_LINE, NO_INTERRUPT, 0, 1])),
    () => link.kick(random.below(queues)),
    () => link.readConfig(new Uint8Array(configSize)),
    () => link.writeConfig(0, new Uint8Array(configSize)),
    () => {
      const bases = link.suspend();
      const stopped = [...bases.keys()].map((index) => setup(random, index));
      link.resume(features, stopped, bases);
    },
    () => link.loadState(link.saveState()),
  ];
  random.pick(actions)();
}

function setup(random: Random, index: number): QueueSetup {
  const at = 0x1000 * (1 + random.below(100));
  return { index, size: 1 << random.below(9), desc: at, driver: at + 0x1000, device: at + 0x2000, interrupt: index };
}
