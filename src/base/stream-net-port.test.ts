import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScatterList } from '../memory/scatter-list.ts';
import { StreamNetPort } from './stream-net-port.ts';
import { streamPair } from './unix-stream.ts';

function listOf(...pieces: Uint8Array[]): ScatterList {
  const list = new ScatterList();
  for (const bytes of pieces) list.add({ bytes, address: 0 }, 0, bytes.length);
  return list;
}

function setUp() {
  const [a, peer] = streamPair();
  return { port: new StreamNetPort(a.fd), peer };
}

test('frames cross with their lengths before them, and without the header of the guest', () => {
  const { port, peer } = setUp();
  port.send(listOf(new Uint8Array(5), new Uint8Array(9).fill(7)));
  const wire = new Uint8Array(20);
  assert.equal(peer.receive(wire, 0, 20, []), 6);
  assert.deepEqual([...wire.subarray(0, 6)], [0, 0, 0, 2, 7, 7]);
  // Not even a header, and nothing behind it.
  port.send(listOf(new Uint8Array(11)));
  port.send(listOf(new Uint8Array(12)));
  assert.equal(peer.receive(wire, 0, 20, []), -1);

  const target = new Uint8Array(30).fill(9);
  assert.equal(port.receive(listOf(target)), -1);
  peer.send(Uint8Array.of(0, 0, 0, 3, 1, 2, 3, 0, 0));
  assert.equal(port.receive(listOf(target)), 15);
  assert.deepEqual([...target.subarray(0, 16)], [...new Array(12).fill(0), 1, 2, 3, 9]);
  assert.equal(port.receive(listOf(target)), -1);
  peer.send(Uint8Array.of(0, 1, 4));
  assert.equal(port.receive(listOf(target)), 13);
  // What does not fit is lost.
  peer.send(Uint8Array.of(0, 0, 0, 3, 1, 2, 3));
  assert.equal(port.receive(listOf(new Uint8Array(13))), 13);
  peer.close();
  assert.equal(port.receive(listOf(target)), 0);
  port.send(listOf(new Uint8Array(20)));
  port.close();
});

test('many long frames fit the buffer one after the other', () => {
  const { port, peer } = setUp();
  const frame = new Uint8Array(4 + 65000).fill(5);
  new DataView(frame.buffer).setUint32(0, 65000);
  const target = new Uint8Array(70000);
  for (let i = 0; i < 20; i++) {
    peer.send(frame);
    assert.equal(port.receive(listOf(target)), 65012);
    assert.equal(target[65011], 5);
  }
  port.close();
  peer.close();
});

test('a length that is impossible ends the network, not us', () => {
  const { port, peer } = setUp();
  peer.send(new Uint8Array(100).fill(0xff));
  const target = new Uint8Array(100);
  assert.equal(port.receive(listOf(target)), 0);
  assert.equal(port.receive(listOf(target)), 0);
  port.close();
  peer.close();
});

test('a peer that does not read makes us wait, with whole frames', () => {
  const { port, peer } = setUp();
  const frame = listOf(new Uint8Array(12 + 1000));
  let sent = 0;
  while (port.send(frame)) sent++;
  const wire = new Uint8Array(1004);
  for (let i = 0; i < sent; i++) {
    assert.equal(peer.receive(wire, 0, 1004, []), 1004);
    assert.equal(new DataView(wire.buffer).getUint32(0), 1000);
  }
  assert.equal(peer.receive(wire, 0, 1004, []), -1);
  assert.equal(port.send(frame), true);
  port.close();
  peer.close();
});
