/** Devices of other programs: what of them a machine is built with, and their first words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import type { VmAccess } from '../../hypervisor/hypervisor.ts';
import type { BackEndOffer } from '../../vhost-user/front-end/handshake.ts';
import { VhostUserLink } from '../../vhost-user/front-end/vhost-user-link.ts';
import { MessageChannel } from '../../vhost-user/message-channel.ts';
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_MQ,
} from '../../vhost-user/protocol/features.ts';
import { encodeMessage, FLAG_REPLY, type Message } from '../../vhost-user/protocol/message.ts';
import { configReply, u64 } from '../../vhost-user/protocol/payloads.ts';
import { type FrontEndRequest, frontEndRequestNames, frontEndRequests } from '../../vhost-user/protocol/requests.ts';
import type { VirtioDeviceName } from '../../virtio/device-types.ts';
import { describeDevice, greetBackEnd } from './connect-device.ts';
import type { DevicePlan } from './plan.ts';
import { closeWiring } from './wiring.ts';

const VERSION_1 = 1n << 32n;
const PROTOCOL = 1n << BigInt(VHOST_USER_F_PROTOCOL_FEATURES);
const CONFIG = 1 << VHOST_USER_PROTOCOL_F_CONFIG;
const MQ = 1 << VHOST_USER_PROTOCOL_F_MQ;

function planOf(type: VirtioDeviceName, more: Partial<DevicePlan> = {}): DevicePlan {
  return { name: `the ${type} device`, type, source: { kind: 'socket', path: 's' }, slot: 1, ...more };
}

/** Answers, before they are asked for. */
function answer(peer: StreamConnection, name: FrontEndRequest, payload: Uint8Array): void {
  peer.send(encodeMessage(frontEndRequests[name].id, FLAG_REPLY, payload));
}

/** A back end with these answers; what it was asked is left in its socket. */
async function connected(type: VirtioDeviceName, protocol: number, queues?: number, more: Partial<DevicePlan> = {}) {
  const [ours, peer] = streamPair();
  answer(peer, 'GET_FEATURES', u64.encode(VERSION_1 | PROTOCOL | 1n));
  answer(peer, 'GET_PROTOCOL_FEATURES', u64.encode(BigInt(protocol)));
  if (queues !== undefined) answer(peer, 'GET_QUEUE_NUM', u64.encode(BigInt(queues)));
  const offer: BackEndOffer = await greetBackEnd(ours, type);
  const handle = describeDevice(planOf(type, more), offer, ours.fd, {
    firstGsi: 24,
    window: undefined,
    files: [],
  });
  const link = new VhostUserLink(handle.backEnd, {} as VmAccess);
  return { handle, link, peer, close: () => closeWiring(handle.backEnd.wiring) };
}

/** The last thing that the front end has asked. */
function lastRequest(peer: StreamConnection): { name: FrontEndRequest; payload: unknown } {
  const channel = new MessageChannel(peer, 50);
  let last: Message | undefined;
  for (let next = channel.receive(); typeof next === 'object'; next = channel.receive()) last = next;
  const name = frontEndRequestNames.get(last!.request)!;
  return { name, payload: frontEndRequests[name].payload.decode(last!.payload) };
}

/**
 * Number, class, bytes of configuration and queues of devices as VIRTIO 1.3 has them, in 5.7, 5.8, 5.6, 5.14 and 5.11. (Feature 0 of
 * a file system is notifications.)
 */
const DEVICES: readonly [VirtioDeviceName, id: number, classCode: number, config: number, queues: number][] = [
  ['gpu', 16, 0x03_8000, 16, 2],
  ['input', 18, 0x09_8000, 136, 2],
  ['scsi', 8, 0x01_0000, 36, 3],
  ['snd', 25, 0x04_0100, 12, 4],
  ['fs', 26, 0x01_8000, 44, 2],
];

for (const [type, id, classCode, configSize, queues] of DEVICES) {
  test(`a ${type} device has the queues and the configuration of the specification`, async () => {
    const { handle, link, peer, close } = await connected(type, CONFIG);
    const { spec } = handle;
    assert.deepEqual([spec.type, spec.classCode, spec.configSize], [id, classCode, configSize]);
    assert.equal(spec.maxQueueSizes.length, queues);
    assert.equal(spec.features, VERSION_1 | 1n);
    const bytes = Uint8Array.from({ length: configSize }, (_, i) => i);
    answer(peer, 'GET_CONFIG', configReply.encode({ offset: 0, flags: 0, bytes }));
    const config = new Uint8Array(configSize);
    link.readConfig(config);
    assert.deepEqual(config, bytes);
    link.writeConfig(configSize - 2, Uint8Array.of(7, 9));
    assert.deepEqual(lastRequest(peer), {
      name: 'SET_CONFIG',
      payload: { offset: configSize - 2, flags: 0, bytes: Uint8Array.of(7, 9) },
    });
    close();
  });
}

test('a back end may have more queues, and fewer bytes of configuration than there should be are refused', async () => {
  const { handle, link, peer, close } = await connected('scsi', CONFIG | MQ, 6, { maxQueueSize: 64 });
  assert.deepEqual(handle.spec.maxQueueSizes, new Array(6).fill(64));
  answer(peer, 'GET_CONFIG', configReply.encode({ offset: 0, flags: 0, bytes: new Uint8Array(35) }));
  assert.throws(() => link.readConfig(new Uint8Array(36)), { code: 'E_VHOST_REFUSED' });
  close();
});

test('a back end with more queues than there can be has as many as there can be, and one with none is refused', async () => {
  const { handle, close } = await connected('snd', CONFIG | MQ, 2 ** 31);
  assert.ok(handle.spec.maxQueueSizes.length <= 64, String(handle.spec.maxQueueSizes.length));
  close();
  await assert.rejects(connected('snd', CONFIG | MQ, 0), { code: 'E_VHOST_USER', message: /no queues/ });
});

test('without configuration of its own a back end is of no use, but for file systems with a tag and network cards', async () => {
  for (const type of ['gpu', 'input', 'scsi', 'snd', 'fs'] as const) {
    await assert.rejects(connected(type, 0), { code: 'E_VHOST_USER', message: /no configuration|no tag/ });
  }
  const { handle, link, close } = await connected('fs', MQ, 4, { tag: 'home' });
  const config = new Uint8Array(handle.spec.configSize);
  link.readConfig(config);
  assert.equal(new TextDecoder().decode(config.subarray(0, 36)).replaceAll('\0', ''), 'home');
  assert.equal(new DataView(config.buffer).getUint32(36, true), 2, 'requests have the queues behind the first two');
  assert.deepEqual([config.length, handle.spec.features], [40, VERSION_1], 'nobody knows how large notifications are');
  close();
  const net = await connected('net', 0);
  assert.equal(net.handle.spec.maxQueueSizes.length, 2);
  net.close();
});
