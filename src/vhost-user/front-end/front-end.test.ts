import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { EventFd } from '../../base/event-fd.ts';
import { close } from '../../base/fd.ts';
import { type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import { MessageChannel } from '../message-channel.ts';
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_SHMEM,
} from '../protocol/features.ts';
import { encodeMessage, FLAG_REPLY, type Message } from '../protocol/message.ts';
import { sharedMemorySizes, u64 } from '../protocol/payloads.ts';
import { type FrontEndRequest, frontEndRequestNames, frontEndRequests } from '../protocol/requests.ts';
import { FrontEnd } from './front-end.ts';
import { guestFeatures, type HandshakeOptions, handshake } from './handshake.ts';

const openDescriptors = () => readdirSync('/proc/self/fd').length;
const none = new Uint8Array(0);

/** A front end, and its peer, whose answers wait in the socket before they are asked for. */
function pair(protocolFeatures = 0): { frontEnd: FrontEnd; peer: StreamConnection; requests: () => string[] } {
  const [ours, peer] = streamPair();
  const channel = new MessageChannel(peer, 50);
  const requests = () => {
    const names: string[] = [];
    for (
      let message = channel.receive();
      message !== 'incomplete' && message !== undefined;
      message = channel.receive()
    ) {
      names.push(frontEndRequestNames.get(message.request)!);
      for (const fd of (message as Message).fds) close(fd);
    }
    return names;
  };
  return { frontEnd: new FrontEnd(new MessageChannel(ours, 50), protocolFeatures), peer, requests };
}

function reply(name: FrontEndRequest, payload: Uint8Array, flags = FLAG_REPLY): Uint8Array {
  return encodeMessage(frontEndRequests[name].id, flags, payload);
}

/** For a handshake with what answers at once. */
function options(peer: StreamConnection, sharesMemory = false): HandshakeOptions {
  return { backEndChannel: peer.fd, comesUp: async () => {}, sharesMemory };
}

const ACKS = 1 << VHOST_USER_PROTOCOL_F_REPLY_ACK;

test('requests with and without answers', () => {
  const { frontEnd, peer, requests } = pair();
  frontEnd.request('SET_OWNER', undefined);
  peer.send(reply('GET_FEATURES', u64.encode(7n)));
  assert.equal(frontEnd.request('GET_FEATURES', undefined), 7n);
  assert.deepEqual(requests(), ['SET_OWNER', 'GET_FEATURES']);
});

test('with REPLY_ACK everything is answered, and may be refused', () => {
  const { frontEnd, peer } = pair(ACKS);
  peer.send(reply('SET_OWNER', u64.encode(0n)));
  frontEnd.request('SET_OWNER', undefined);
  peer.send(reply('SET_OWNER', u64.encode(22n)));
  assert.throws(() => frontEnd.request('SET_OWNER', undefined), { code: 'E_VHOST_REFUSED' });
});

for (const [name, answer, message] of [
  ['an answer to something else', reply('GET_QUEUE_NUM', u64.encode(1n)), /with something else/],
  ['a request instead of an answer', reply('GET_FEATURES', u64.encode(1n), 0), /with something else/],
  ['a short answer', reply('GET_FEATURES', none), /0 bytes instead of 8/],
  ['a long answer', reply('GET_FEATURES', new Uint8Array(4000)), /4000 bytes instead of 8/],
  ['half an answer', reply('GET_FEATURES', u64.encode(1n)).subarray(0, 9), /no whole message/],
  ['no answer', none, /no whole message/],
] as const) {
  test(`${name} is found out`, () => {
    const { frontEnd, peer } = pair();
    if (answer.length > 0) peer.send(answer);
    assert.throws(() => frontEnd.request('GET_FEATURES', undefined), { code: 'E_VHOST_USER', message });
  });
}

test('descriptors of half an answer, and beside an acknowledgement, are closed', () => {
  const { frontEnd, peer } = pair(ACKS);
  const event = EventFd.create();
  const before = openDescriptors();
  peer.send(reply('SET_OWNER', u64.encode(0n)), [event.fd]);
  assert.throws(() => frontEnd.request('SET_OWNER', undefined), { code: 'E_VHOST_USER' });
  peer.send(reply('GET_FEATURES', u64.encode(1n)).subarray(0, 14), [event.fd]);
  assert.throws(() => frontEnd.request('GET_FEATURES', undefined), /no whole message/);
  frontEnd.abandon();
  assert.equal(openDescriptors(), before);
  event.close();
});

test('descriptors that nobody asked for are closed, and a connection that ends is noticed', () => {
  const { frontEnd, peer } = pair();
  const event = EventFd.create();
  const before = openDescriptors();
  for (const fds of [[event.fd], [event.fd, event.fd]]) {
    peer.send(reply('GET_FEATURES', u64.encode(1n)), fds);
    const error = { code: 'E_VHOST_USER', message: new RegExp(`came with ${fds.length} descriptors`) };
    assert.throws(() => frontEnd.request('GET_FEATURES', undefined), error);
    assert.equal(openDescriptors(), before);
  }
  peer.send(reply('GET_FEATURES', none), [event.fd]);
  assert.throws(() => frontEnd.request('GET_FEATURES', undefined), { code: 'E_VHOST_USER' });
  assert.equal(openDescriptors(), before);
  peer.close();
  assert.throws(() => frontEnd.request('GET_FEATURES', undefined));
});

test('the first words: what both know of the protocol', async () => {
  const { frontEnd, peer, requests } = pair();
  const unknown = 1n << 40n;
  const features = (1n << BigInt(VHOST_USER_F_PROTOCOL_FEATURES)) | (1n << 32n);
  const known =
    (1 << VHOST_USER_PROTOCOL_F_MQ) | (1 << VHOST_USER_PROTOCOL_F_CONFIG) | (1 << VHOST_USER_PROTOCOL_F_BACKEND_REQ);
  peer.send(reply('GET_FEATURES', u64.encode(features)));
  peer.send(reply('GET_PROTOCOL_FEATURES', u64.encode(BigInt(known) | (1n << 30n) | unknown)));
  peer.send(reply('GET_QUEUE_NUM', u64.encode(5n)));
  const offer = await handshake(frontEnd, options(peer));
  assert.deepEqual(offer, { features, speaksProtocol: true, protocolFeatures: known, queues: 5, sharedMemory: [] });
  assert.deepEqual(requests(), [
    'SET_OWNER',
    'GET_FEATURES',
    'GET_PROTOCOL_FEATURES',
    'SET_PROTOCOL_FEATURES',
    'GET_QUEUE_NUM',
    'SET_BACKEND_REQ_FD',
  ]);
});

test('a device that may share memory is asked about it', async () => {
  const sizes = Array.from({ length: 256 }, (_, id) => (id === 3 ? 4096 : 0));
  for (const sharesMemory of [true, false]) {
    const { frontEnd, peer, requests } = pair();
    peer.send(reply('GET_FEATURES', u64.encode(1n << BigInt(VHOST_USER_F_PROTOCOL_FEATURES))));
    peer.send(reply('GET_PROTOCOL_FEATURES', u64.encode(1n << BigInt(VHOST_USER_PROTOCOL_F_SHMEM))));
    peer.send(reply('GET_SHMEM_CONFIG', sharedMemorySizes.encode(sizes)));
    const { sharedMemory } = await handshake(frontEnd, options(peer, sharesMemory));
    assert.deepEqual(sharedMemory, sharesMemory ? sizes : []);
    assert.equal(requests().includes('GET_SHMEM_CONFIG'), sharesMemory);
  }
});

test('a back end of the old days has no protocol features', async () => {
  const { frontEnd, peer, requests } = pair();
  peer.send(reply('GET_FEATURES', u64.encode(1n << 32n)));
  assert.deepEqual(await handshake(frontEnd, options(peer)), {
    features: 1n << 32n,
    speaksProtocol: false,
    protocolFeatures: 0,
    queues: undefined,
    sharedMemory: [],
  });
  assert.deepEqual(requests(), ['SET_OWNER', 'GET_FEATURES']);
});

test('what of the features a guest is offered', () => {
  const all = (1n << 64n) - 1n;
  const offered = guestFeatures(all);
  for (const bit of [0, 23, 28, 29, 32, 34, 50, 63]) assert.equal((offered >> BigInt(bit)) & 1n, 1n, `bit ${bit}`);
  for (const bit of [24, 26, 30, 33, 37, 38, 40, 41, 49]) assert.equal((offered >> BigInt(bit)) & 1n, 0n, `bit ${bit}`);
  assert.throws(() => guestFeatures(0n), { code: 'E_VHOST_USER', message: /legacy/ });
});
