/** A driver of a file system device, without a guest. */
import { EventFd } from '../src/base/event-fd.ts';
import { waitReadable } from '../src/base/readable.ts';
import { FuseClient } from '../src/fuse/testing/fuse-client.ts';
import type { FrontEnd } from '../src/vhost-user/front-end/front-end.ts';
import { SharedGuest } from '../src/vhost-user/testing/test-front-end.ts';
import { SplitDriver } from '../src/virtio/testing/split-driver.ts';

const QUEUE_SIZE = 64;
const FEATURES = (1n << 32n) | (1n << 30n) | (1n << 29n);
const REQUEST_BYTES = 64 << 10;
const ANSWER_BYTES = 128 << 10;
/** Queue 0 is for urgent requests. */
const QUEUES = 2;
const REQUESTS = 1;

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

/** A client whose requests go through a queue of a back end, one at a time, in memory that is laid out once. */
export function fuseClientOver(frontEnd: FrontEnd): FuseClient {
  const guest = new SharedGuest();
  frontEnd.request('SET_FEATURES', FEATURES);
  frontEnd.request('SET_MEM_TABLE', [guest.sharedRegion], [guest.fd]);
  const rings = Array.from({ length: QUEUES }, (_, index) => startRing(frontEnd, guest, index));
  const { ring, kick, call } = rings[REQUESTS]!;
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
      if (!waitReadable(call.fd, 5000)) throw new Error('no answer');
      call.clear();
    }
    used = (used + 1) & 0xffff;
    if (room === 0) return undefined;
    return answerBytes.slice(0, new DataView(answerBytes.buffer, answerBytes.byteOffset).getUint32(0, true));
  });
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
