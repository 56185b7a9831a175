/** A driver of a file system device, without a guest. */
import { EventFd } from '../src/base/event-fd.ts';
import { waitReadable } from '../src/base/readable.ts';
import { MAX_NOTIFICATION_SIZE } from '../src/fuse/notification.ts';
import { FuseClient } from '../src/fuse/testing/fuse-client.ts';
import type { FrontEnd } from '../src/vhost-user/front-end/front-end.ts';
import { SharedGuest } from '../src/vhost-user/testing/test-front-end.ts';
import { featureSet } from '../src/virtio/features.ts';
import { VIRTIO_FS_F_NOTIFICATION } from '../src/virtio/fs/fs-config.ts';
import { SplitDriver } from '../src/virtio/testing/split-driver.ts';

const QUEUE_SIZE = 64;
const FEATURES = (1n << 32n) | (1n << 30n) | (1n << 29n);
const REQUEST_BYTES = 64 << 10;
const ANSWER_BYTES = 128 << 10;
const TIMEOUT_MS = 5000;
/** Buffers for notifications. */
const BUFFERS = 16;

const fenceWord = new Int32Array(new SharedArrayBuffer(4));

/** What was stored is seen by the device before what is loaded from here on. */
function fence(): void {
  Atomics.add(fenceWord, 0, 0);
}

interface Ring {
  readonly ring: SplitDriver;
  readonly kick: EventFd;
  readonly call: EventFd;
}

export interface FuseDriver {
  /** Its requests go through a queue of the back end, one at a time, in memory that is laid out once. */
  readonly client: FuseClient;
  /** Waits for the next notification; undefined if there is none for some seconds. */
  notification(): Uint8Array | undefined;
}

/** A client of a back end. */
export function fuseClientOver(frontEnd: FrontEnd): FuseClient {
  const { guest, rings } = startRings(frontEnd, FEATURES, 2);
  return clientOver(guest, rings[1]!);
}

/** A driver that knows notifications. */
export function notifiedDriverOver(frontEnd: FrontEnd): FuseDriver {
  const { guest, rings } = startRings(frontEnd, FEATURES | featureSet(VIRTIO_FS_F_NOTIFICATION), 3);
  return { notification: takerOf(rings[1]!), client: clientOver(guest, rings[2]!) };
}

/** The first of the queues is for urgent requests. */
function startRings(frontEnd: FrontEnd, features: bigint, queues: number) {
  const guest = new SharedGuest();
  frontEnd.request('SET_FEATURES', features);
  frontEnd.request('SET_MEM_TABLE', [guest.sharedRegion], [guest.fd]);
  return { guest, rings: Array.from({ length: queues }, (_, index) => startRing(frontEnd, guest, index)) };
}

function clientOver(guest: SharedGuest, { ring, kick, call }: Ring): FuseClient {
  const [request, answer] = [guest.allocate(REQUEST_BYTES, 4096), guest.allocate(ANSWER_BYTES, 4096)];
  const requestBytes = guest.bytes(request, REQUEST_BYTES);
  const answerBytes = guest.bytes(answer, ANSWER_BYTES);
  let used = 0;
  return new FuseClient((bytes, room) => {
    requestBytes.set(bytes);
    ring.setDescriptor(0, request, bytes.length, room === 0 ? 0 : 1, 1);
    ring.setDescriptor(1, answer, room, 2, 0);
    ring.makeAvailable(0);
    ring.wantInterruptAt(used);
    fence();
    if (ring.needsKick()) kick.signal();
    while (ring.usedIndex === used) {
      if (!waitReadable(call.fd, TIMEOUT_MS)) throw new Error('no answer');
      call.clear();
    }
    used = (used + 1) & 0xffff;
    if (room === 0) return undefined;
    return answerBytes.slice(0, new DataView(answerBytes.buffer, answerBytes.byteOffset).getUint32(0, true));
  });
}

/** Gives the device buffers; returns what takes notifications from them. */
function takerOf({ ring, kick, call }: Ring): () => Uint8Array | undefined {
  for (let i = 0; i < BUFFERS; i++) ring.add({ writable: [MAX_NOTIFICATION_SIZE] });
  kick.signal();
  return () => {
    ring.wantInterrupt(true);
    fence();
    for (;;) {
      const result = ring.take();
      if (result !== undefined) return result.data.subarray(0, result.written);
      if (!waitReadable(call.fd, TIMEOUT_MS)) return undefined;
      call.clear();
    }
  };
}

function startRing(frontEnd: FrontEnd, guest: SharedGuest, index: number): Ring {
  const ring = new SplitDriver(guest, QUEUE_SIZE, { eventIdx: true, indirect: false });
  const [kick, call] = [EventFd.create(), EventFd.create()];
  const { descriptor, driver, device } = ring.addresses;
  frontEnd.request('SET_VRING_NUM', { index, num: QUEUE_SIZE });
  frontEnd.request('SET_VRING_BASE', { index, num: 0 });
  frontEnd.request('SET_VRING_ADDR', { index, flags: 0, descriptor, available: driver, used: device, log: 0 });
  frontEnd.request('SET_VRING_CALL', { index, absent: false }, [call.fd]);
  frontEnd.request('SET_VRING_KICK', { index, absent: false }, [kick.fd]);
  frontEnd.request('SET_VRING_ENABLE', { index, num: 1 });
  return { ring, kick, call };
}
