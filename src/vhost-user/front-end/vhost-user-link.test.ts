import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { EventFd } from '../../base/event-fd.ts';
import { close } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { SystemError } from '../../base/system-error.ts';
import { type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import type { IoEvent, VmAccess } from '../../hypervisor/hypervisor.ts';
import { heapGuestMemory } from '../../memory/guest-memory.ts';
import { INTERRUPT_LINE, NO_INTERRUPT, type QueueSetup } from '../../pci/virtio-pci/virtio-link.ts';
import { MessageChannel } from '../message-channel.ts';
import * as f from '../protocol/features.ts';
import { encodeMessage, FLAG_REPLY } from '../protocol/message.ts';
import { configReply, inflight, type SharedRegion, u64, vringState } from '../protocol/payloads.ts';
import { type FrontEndRequest, frontEndRequestNames, frontEndRequests } from '../protocol/requests.ts';
import { createVhostUserState, type VhostUserHandle, VhostUserLink } from './vhost-user-link.ts';

const VERSION_1 = 1n << 32n;
const PACKED = 1n << 34n;
const QUEUES: readonly QueueSetup[] = [
  { index: 0, size: 8, desc: 0x1000, driver: 0x2000, device: 0x3000, interrupt: 1 },
  { index: 2, size: 16, desc: 0x4000, driver: 0x5000, device: 0x6000, interrupt: INTERRUPT_LINE },
];

let peer: StreamConnection;
let handle: VhostUserHandle;
let memory: ReturnType<typeof heapGuestMemory>;
let memoryFd: number;
let ioEvents: string[];
let refuseIoEvents: boolean;
const eventFd = () => EventFd.create().fd;

beforeEach(() => {
  const [ours, theirs] = streamPair();
  peer = theirs;
  memory = heapGuestMemory([
    { gpa: 0, size: 0x10_000 },
    { gpa: 0x1_0000_0000, size: 0x1000 },
  ]);
  memoryFd = createMemfd('test', 0x11_000);
  ioEvents = [];
  refuseIoEvents = false;
  handle = {
    fd: ours.fd,
    comesBack: false,
    speaksProtocol: false,
    protocolFeatures: 0,
    localConfig: undefined,
    wiring: {
      kicks: [eventFd(), eventFd(), eventFd()],
      vectors: [eventFd(), eventFd(), eventFd(), eventFd()],
      line: eventFd(),
      error: eventFd(),
    },
    files: [],
    state: createVhostUserState(),
  };
});

function link(protocolFeatures?: number, more: Partial<VhostUserHandle> = {}): VhostUserLink {
  const note = (what: string) => (event: IoEvent) => {
    ioEvents.push(`${what} ${event.address.toString(16)} ${handle.wiring.kicks.indexOf(event.fd)}`);
    if (refuseIoEvents) throw new SystemError('ioctl(KVM_IOEVENTFD)', 17);
  };
  const vm = { memory, memoryFd, addIoEvent: note('add'), removeIoEvent: note('remove') } as unknown as VmAccess;
  const speaksProtocol = protocolFeatures !== undefined;
  handle = { ...handle, speaksProtocol, protocolFeatures: protocolFeatures ?? 0, ...more };
  return new VhostUserLink(handle, vm);
}

/** What the link has sent: the names of the requests with their payloads, and how many descriptors were beside each. */
function sent(): [string, unknown, number][] {
  const channel = new MessageChannel(peer, 50);
  const requests: [string, unknown, number][] = [];
  for (
    let message = channel.receive();
    message !== 'incomplete' && message !== undefined;
    message = channel.receive()
  ) {
    const name = frontEndRequestNames.get(message.request)!;
    requests.push([name, frontEndRequests[name].payload.decode(message.payload), message.fds.length]);
    for (const fd of message.fds) close(fd);
  }
  return requests;
}

const names = () => sent().map(([name]) => name);

function answer(name: FrontEndRequest, payload: Uint8Array, fds: number[] = []): void {
  peer.send(encodeMessage(frontEndRequests[name].id, FLAG_REPLY, payload), fds);
}

test('a start: features, memory, rings', () => {
  link().start(VERSION_1, QUEUES);
  const requests = sent();
  assert.deepEqual(requests.slice(0, 8), [
    ['SET_FEATURES', VERSION_1, 0],
    [
      'SET_MEM_TABLE',
      [
        { guestAddress: 0, size: 0x10_000, userAddress: 0, mmapOffset: 0 },
        { guestAddress: 0x1_0000_0000, size: 0x1000, userAddress: 0x1_0000_0000, mmapOffset: 0x10_000 },
      ],
      2,
    ],
    ['SET_VRING_NUM', { index: 0, num: 8 }, 0],
    ['SET_VRING_BASE', { index: 0, num: 0 }, 0],
    ['SET_VRING_ADDR', { index: 0, flags: 0, descriptor: 0x1000, used: 0x3000, available: 0x2000, log: 0 }, 0],
    ['SET_VRING_ERR', { index: 0, absent: false }, 1],
    ['SET_VRING_CALL', { index: 0, absent: false }, 1],
    ['SET_VRING_KICK', { index: 0, absent: false }, 1],
  ]);
  assert.equal(requests.length, 14, 'without protocol features rings need not be enabled');
});

test('files that are memory of the guest are shared as well, as far as a table has room', () => {
  const files = Array.from({ length: 7 }, (_, i) => ({ fd: eventFd(), gpa: 2 ** 33 + i * 2 ** 30, size: 0x2000 }));
  for (const slots of [0, 1 << f.VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS]) {
    link(slots, { files, state: createVhostUserState() }).start(VERSION_1, QUEUES);
    const regions = sent().flatMap(([name, payload]) => (/MEM/.test(name) ? payload : [])) as SharedRegion[];
    assert.equal(regions.length, 8);
    const file = { guestAddress: 2 ** 33, size: 0x2000, userAddress: 2 ** 33, mmapOffset: 0 };
    assert.deepEqual(regions.slice(2, 4), [
      file,
      { ...file, guestAddress: 2 ** 33 + 2 ** 30, userAddress: 2 ** 33 + 2 ** 30 },
    ]);
  }
});

test('a packed ring starts with its wrap counters set', () => {
  link().start(VERSION_1 | PACKED, QUEUES);
  const bases = sent().filter(([name]) => name === 'SET_VRING_BASE');
  assert.deepEqual(bases[0]![1], { index: 0, num: 0x8000_8000 });
});

test('memory slots, status, and rings that are enabled, where that was agreed on', () => {
  const features = (1 << f.VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | (1 << f.VHOST_USER_PROTOCOL_F_STATUS);
  const device = link(features);
  device.start(VERSION_1, QUEUES);
  const requests = sent();
  assert.deepEqual(requests[0], ['SET_FEATURES', VERSION_1 | (1n << 30n), 0]);
  assert.deepEqual(
    requests.filter(([name]) => /STATUS|ADD_MEM|ENABLE/.test(name)).map(([name, payload]) => [name, payload]),
    [
      ['SET_STATUS', 11n],
      ['ADD_MEM_REG', { guestAddress: 0, size: 0x10_000, userAddress: 0, mmapOffset: 0 }],
      ['ADD_MEM_REG', { guestAddress: 0x1_0000_0000, size: 0x1000, userAddress: 0x1_0000_0000, mmapOffset: 0x10_000 }],
      ['SET_VRING_ENABLE', { index: 0, num: 1 }],
      ['SET_VRING_ENABLE', { index: 2, num: 1 }],
      ['SET_STATUS', 15n],
    ],
  );
  device.start(VERSION_1, QUEUES);
  assert.ok(!names().includes('ADD_MEM_REG'), 'memory is shared once');
});

test('a stop asks each ring that runs, and resets', () => {
  const device = link(1 << f.VHOST_USER_PROTOCOL_F_RESET_DEVICE);
  device.start(VERSION_1, QUEUES);
  sent();
  for (const index of [0, 2]) answer('GET_VRING_BASE', vringState.encode({ index, num: 3 }));
  device.stop();
  assert.deepEqual(names(), ['GET_VRING_BASE', 'GET_VRING_BASE', 'RESET_DEVICE']);
  device.stop();
  assert.deepEqual(names(), ['RESET_DEVICE']);
  link((1 << f.VHOST_USER_PROTOCOL_F_RESET_DEVICE) | (1 << f.VHOST_USER_PROTOCOL_F_STATUS)).stop();
  assert.deepEqual(names(), ['RESET_DEVICE', 'SET_STATUS']);
});

test('interrupts by vector, by line, or not at all', () => {
  const device = link();
  device.setInterrupt(1, 3);
  device.setInterrupt(1, INTERRUPT_LINE);
  device.setInterrupt(1, NO_INTERRUPT);
  assert.deepEqual(
    sent().map(([, payload, fds]) => [payload, fds]),
    [
      [{ index: 1, absent: false }, 1],
      [{ index: 1, absent: false }, 1],
      [{ index: 1, absent: true }, 0],
    ],
  );
});

test('a back end that takes the place of a lost one goes on where that was', () => {
  const device = link(1 << f.VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
  const area = createMemfd('inflight', 0x1000);
  answer('GET_INFLIGHT_FD', inflight.encode({ mmapSize: 0x1000, mmapOffset: 0, numQueues: 3, queueSize: 16 }), [area]);
  device.start(VERSION_1, QUEUES);
  sent();
  device.disconnected();
  assert.deepEqual([device.isGone(), device.isAway()], [true, false]);
  assert.throws(() => device.setInterrupt(0, 1), { code: 'E_VHOST_USER', message: /gone/ });
  device.reconnected();
  memory.setU16(0x3002, 77);
  device.restart(VERSION_1, QUEUES);
  const requests = sent();
  assert.deepEqual(
    requests
      .filter(([name]) => /INFLIGHT|BASE|MEM/.test(name))
      .map(([name, payload]) => [name, payload])
      .slice(0, 4),
    [
      ['SET_INFLIGHT_FD', { mmapSize: 0x1000, mmapOffset: 0, numQueues: 3, queueSize: 16 }],
      requests.filter(([name]) => name === 'SET_MEM_TABLE').map(([name, payload]) => [name, payload])[0],
      ['SET_VRING_BASE', { index: 0, num: 77 }],
      ['SET_VRING_BASE', { index: 2, num: 0 }],
    ],
  );
  assert.equal(new EventFd(handle.wiring.kicks[0]!).clear(), 1, 'a kick may have been lost');
  assert.equal(new EventFd(handle.wiring.vectors[1]!).clear(), 1, 'or an interrupt');
  device.restart(VERSION_1 | PACKED, QUEUES);
  const [base] = sent().filter(([name]) => name === 'SET_VRING_BASE');
  assert.deepEqual(base![1], { index: 0, num: 0x8000_8000 }, 'the area knows better where a packed ring stands');
  device.close();
});

test('configuration', () => {
  const device = link(1 << f.VHOST_USER_PROTOCOL_F_CONFIG);
  const config = new Uint8Array(4);
  answer('GET_CONFIG', configReply.encode({ offset: 0, flags: 0, bytes: Uint8Array.of(1, 2, 3, 4) }));
  device.readConfig(config);
  assert.deepEqual([...config], [1, 2, 3, 4]);
  device.writeConfig(2, Uint8Array.of(9));
  assert.deepEqual(sent().at(-1), ['SET_CONFIG', { offset: 2, flags: 0, bytes: Uint8Array.of(9) }, 0]);
  for (const wrong of [undefined, { offset: 0, flags: 0, bytes: new Uint8Array(3) }]) {
    answer('GET_CONFIG', configReply.encode(wrong));
    assert.throws(() => device.readConfig(config), { code: 'E_VHOST_REFUSED' });
  }
  const local = link(undefined, { localConfig: Uint8Array.of(7, 8, 9, 10, 11) });
  local.readConfig(config);
  local.writeConfig(0, Uint8Array.of(1));
  assert.deepEqual([...config], [7, 8, 9, 10]);
});

test('after a broken answer nobody asks any more; after a refusal one does', () => {
  const device = link(1 << f.VHOST_USER_PROTOCOL_F_REPLY_ACK);
  answer('SET_VRING_CALL', u64.encode(1n));
  assert.throws(() => device.setInterrupt(0, 1), { code: 'E_VHOST_REFUSED' });
  answer('SET_VRING_CALL', u64.encode(0n));
  device.setInterrupt(0, 1);
  assert.equal(device.givenUpFor, undefined);
  answer('SET_OWNER', u64.encode(0n));
  assert.throws(() => device.setInterrupt(0, 1), { code: 'E_VHOST_USER' });
  assert.match(device.givenUpFor!, /^vhost-user: the back end answered SET_VRING_CALL with something else/);
  sent();
  assert.throws(() => link(1 << f.VHOST_USER_PROTOCOL_F_REPLY_ACK).setInterrupt(0, 1), /gone/);
  assert.deepEqual(names(), [], 'on no thread');
  device.reconnected();
  assert.equal(device.givenUpFor, undefined);
});

test('doorbells are I/O events where the hypervisor takes them', () => {
  const device = link();
  device.moveDoorbells(-1, 0xd000_3000);
  device.moveDoorbells(0xd000_3000, -1);
  assert.deepEqual(ioEvents, [
    ...['add d0003000 0', 'add d0003004 1', 'add d0003008 2'],
    ...['remove d0003000 0', 'remove d0003004 1', 'remove d0003008 2'],
  ]);
  refuseIoEvents = true;
  assert.doesNotThrow(() => device.moveDoorbells(-1, 0xd000_3000));
  device.kick(2);
  assert.equal(new EventFd(handle.wiring.kicks[2]!).clear(), 1);
});
