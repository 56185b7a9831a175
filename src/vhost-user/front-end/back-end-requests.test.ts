import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { close } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { streamPair } from '../../base/unix-stream.ts';
import { createWindowState, MemoryWindow, type WindowHost } from '../../memory/memory-window.ts';
import { MessageChannel } from '../message-channel.ts';
import { FLAG_NEED_REPLY, type Message } from '../protocol/message.ts';
import { type SharedMapping, u64 } from '../protocol/payloads.ts';
import { backEndRequests } from '../protocol/requests.ts';
import { serveBackEnd } from './back-end-requests.ts';
import { SharedMemory } from './shared-memory.ts';

const PAGE = 4096;
const openDescriptors = () => readdirSync('/proc/self/fd').length;

/** A device with shared memories 1 and 2 of 16 pages, and what happens in the window. */
function served(withMemory = true) {
  const events: string[] = [];
  const host: WindowHost = {
    isFree: () => true,
    place: () => {},
    replace: () => {},
    attach: ({ offset, length }, _fd, fdOffset) =>
      events.push(`map ${[offset, length, fdOffset].map((n) => n / PAGE)}`),
    detach: ({ offset, length }) => events.push(`unmap ${[offset, length].map((n) => n / PAGE)}`),
    show: () => {},
    hide: () => {},
  };
  const options = { size: 64 * PAGE, maxPieces: 4 };
  const window = new MemoryWindow(options, createWindowState(options), host);
  const length = 16 * PAGE;
  const memory = new SharedMemory(window, [
    { id: 1, offset: 0, length },
    { id: 2, offset: 32 * PAGE, length },
  ]);
  const [ours, theirs] = streamPair();
  const channel = new MessageChannel(ours, 100);
  const subscription = serveBackEnd(channel, {
    configChanged: () => events.push('configuration'),
    sharedMemory: withMemory ? memory : undefined,
  });
  const peer = new MessageChannel(theirs, 100);
  /** Sends a request and gives the answer: 0n for done; undefined for none. */
  const ask = async (id: number, payload: Uint8Array, fds: readonly number[] = []) => {
    peer.send(id, FLAG_NEED_REPLY, payload, fds);
    let answer = peer.receive();
    // On a machine that has much to do it takes its time.
    for (let i = 0; i < 50 && answer === 'incomplete'; i++) {
      await sleep(10);
      answer = peer.receive();
    }
    return typeof answer === 'object' ? u64.decode((answer as Message).payload) : undefined;
  };
  const end = () => {
    subscription.close();
    channel.close();
    peer.close();
  };
  return { events, ask, end };
}

const mapping = (id: number, page: number, pages: number, fdPage = 0): SharedMapping => ({
  ...{ id, offset: page * PAGE, length: pages * PAGE, fdOffset: fdPage * PAGE, writable: true },
});

test('pieces of files are mapped and taken away, within each shared memory', async () => {
  const before = openDescriptors();
  const fd = createMemfd('test', PAGE);
  const { events, ask, end } = served();
  const { SHMEM_MAP, SHMEM_UNMAP } = backEndRequests;
  const map = (what: SharedMapping, fds = [fd]) => ask(SHMEM_MAP.id, SHMEM_MAP.payload.encode(what), fds);
  const unmap = (what: SharedMapping) => ask(SHMEM_UNMAP.id, SHMEM_UNMAP.payload.encode(what));
  assert.equal(await map(mapping(1, 3, 4, 5)), 0n);
  assert.equal(await map(mapping(2, 15, 1)), 0n);
  assert.deepEqual(events.splice(0), ['map 3,4,5', 'map 47,1,0']);
  for (const refused of [
    mapping(0, 0, 1),
    mapping(3, 0, 1),
    mapping(1, 15, 2),
    mapping(1, 16, 1),
    mapping(1, 0, 17),
    mapping(1, 6, 1),
    mapping(1, 0, 0),
    mapping(1, 0.5, 1),
    mapping(1, 0, 1, 0.5),
  ]) {
    assert.equal(await map(refused), 1n, JSON.stringify(refused));
  }
  assert.equal(await map(mapping(1, 0, 1), []), 1n);
  for (const refused of [mapping(1, 3, 3), mapping(1, 4, 3), mapping(2, 3, 4), mapping(0, 3, 4)]) {
    assert.equal(await unmap(refused), 1n, JSON.stringify(refused));
  }
  assert.deepEqual(events, []);
  assert.equal(await unmap(mapping(1, 3, 4)), 0n);
  assert.deepEqual(events, ['unmap 3,4']);
  end();
  close(fd);
  assert.equal(openDescriptors(), before);
});

test('without shared memory nothing is mapped; other requests', async () => {
  const fd = createMemfd('test', PAGE);
  const before = openDescriptors();
  const { events, ask, end } = served(false);
  const { SHMEM_MAP, CONFIG_CHANGE_MSG } = backEndRequests;
  assert.equal(await ask(SHMEM_MAP.id, SHMEM_MAP.payload.encode(mapping(1, 0, 1)), [fd]), 1n);
  assert.equal(await ask(77, new Uint8Array(9), [fd]), 1n);
  assert.equal(await ask(CONFIG_CHANGE_MSG.id, new Uint8Array(0)), 0n);
  assert.deepEqual(events, ['configuration']);
  // Who breaks the rules is not listened to any more.
  assert.equal(await ask(SHMEM_MAP.id, new Uint8Array(39), [fd]), undefined);
  assert.equal(await ask(CONFIG_CHANGE_MSG.id, new Uint8Array(0)), undefined);
  assert.deepEqual(events, ['configuration']);
  end();
  assert.equal(openDescriptors(), before);
  close(fd);
});
