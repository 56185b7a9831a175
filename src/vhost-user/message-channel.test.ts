import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { EventFd } from '../base/event-fd.ts';
import { close } from '../base/fd.ts';
import { streamPair } from '../base/unix-stream.ts';
import { MessageChannel } from './message-channel.ts';
import { encodeMessage, FLAG_NEED_REPLY, type Message } from './protocol/message.ts';
import { frontEndRequestNames, frontEndRequests } from './protocol/requests.ts';

const openDescriptors = () => readdirSync('/proc/self/fd').length;

function channelAndPeer() {
  const [a, peer] = streamPair();
  return { channel: new MessageChannel(a, 50), peer };
}

test('a message is put together from what comes when it comes', () => {
  const { channel, peer } = channelAndPeer();
  const event = EventFd.create();
  assert.equal(channel.receive(), 'incomplete');
  const message = encodeMessage(12, FLAG_NEED_REPLY, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  peer.send(message.subarray(0, 5), [event.fd]);
  assert.equal(channel.receive(), 'incomplete');
  peer.send(message.subarray(5, 14));
  assert.equal(channel.receive(), 'incomplete');
  peer.send(message.subarray(14));
  peer.send(encodeMessage(1, 0, new Uint8Array(0)));
  const { fds, payload, ...head } = channel.receive() as Message;
  assert.deepEqual(head, { request: 12, reply: false, needReply: true });
  assert.equal(payload[0], 1);
  assert.equal(fds.length, 1);
  close(fds[0]!);
  assert.equal((channel.receiveNext() as Message).request, 1);
  peer.close();
  assert.equal(channel.receive(), undefined);
  channel.close();
  event.close();
});

test('a peer that breaks the rules is found out, and its descriptors are closed', () => {
  const before = openDescriptors();
  const bad: [name: string, bytes: Uint8Array, descriptors: number, error: RegExp][] = [
    ['version', Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0), 1, /version 2/],
    ['size', Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255), 1, /4294967295 bytes; 4096 are allowed/],
    ['descriptors', Uint8Array.of(1), 9, /more than 8 descriptors/],
  ];
  for (const [, bytes, descriptors, error] of bad) {
    const { channel, peer } = channelAndPeer();
    peer.send(bytes, new Array(descriptors).fill(peer.fd));
    assert.throws(() => channel.receive(), error);
    channel.close();
    peer.close();
  }
  assert.equal(openDescriptors(), before);
});

test('half a message makes nobody wait for ever', () => {
  const { channel, peer } = channelAndPeer();
  peer.send(new Uint8Array(3));
  assert.throws(() => channel.receiveNext(), /no whole message has come within 50 ms/);
  peer.close();
  assert.throws(() => channel.receive(), /ended in the middle of a message/);
  channel.close();
});

test('the table of requests has one row for each number', () => {
  assert.equal(frontEndRequestNames.size, Object.keys(frontEndRequests).length);
  assert.equal(frontEndRequestNames.get(24), 'GET_CONFIG');
});

test('what all waits may take together is limited, too', () => {
  const [a, peer] = streamPair();
  const channel = new MessageChannel(a, 10_000);
  channel.limit(20);
  assert.throws(() => channel.receiveNext(), /no whole message has come within (19|20) ms/);
  assert.throws(() => channel.receiveNext(), /no whole message has come within 0 ms/);
  channel.limit(10_000);
  peer.send(encodeMessage(2, 0, new Uint8Array(0)));
  assert.equal((channel.receiveNext() as Message).request, 2);
  peer.close();
  channel.close();
});
