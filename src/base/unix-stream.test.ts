import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EventFd } from './event-fd.ts';
import { close, setNonBlocking, write } from './fd.ts';
import { connectStream, MAX_DESCRIPTORS, StreamListener, setSendBuffer, streamPair } from './unix-stream.ts';

const folder = mkdtempSync(join(tmpdir(), 'stream-test-'));
after(() => rmSync(folder, { recursive: true }));

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

test('bytes and descriptors cross, and the end is seen', () => {
  const [a, b] = streamPair();
  const event = EventFd.create();
  const bytes = new Uint8Array(8);
  const fds: number[] = [];
  assert.equal(b.receive(bytes, 0, 8, fds), -1);
  assert.equal(b.waitReadable(0), false);
  a.send(Uint8Array.of(1, 2, 3), [event.fd, event.fd]);
  a.send(Uint8Array.of(4));
  assert.equal(b.waitReadable(1000), true);
  assert.equal(b.receive(bytes, 2, 3, fds), 3);
  assert.equal(fds.length, 2);
  assert.equal(b.receive(bytes, 5, 3, fds), 1);
  assert.deepEqual([...bytes], [0, 0, 1, 2, 3, 4, 0, 0]);
  assert.equal(fds.length, 2);
  assert.equal(readlinkSync(`/proc/self/fd/${fds[0]}`), 'anon_inode:[eventfd]');
  new EventFd(fds[1]!).signal();
  assert.equal(event.clear(), 1);
  a.close();
  a.close();
  assert.equal(b.receive(bytes, 0, 8, fds), 0);
  assert.throws(() => b.send(bytes), { errno: 'EPIPE' });
  b.close();
  for (const fd of [...fds, event.fd]) close(fd);
});

test('a peer that does not read costs the time limit and no more', () => {
  const [a, b] = streamPair();
  const bytes = new Uint8Array(1 << 20);
  assert.throws(() => a.send(bytes, [], 20), { code: 'E_SOCKET_TIMEOUT', message: /20 ms/ });
  a.close();
  b.close();
});

test('too many descriptors are refused and none stays open', () => {
  const [a, b] = streamPair();
  assert.throws(() => a.send(Uint8Array.of(1), new Array(MAX_DESCRIPTORS + 1).fill(a.fd)), RangeError);
  a.send(Uint8Array.of(1), new Array(MAX_DESCRIPTORS).fill(a.fd));
  const fds: number[] = [];
  assert.equal(b.receive(new Uint8Array(1), 0, 1, fds), 1);
  assert.equal(fds.length, MAX_DESCRIPTORS);
  for (const fd of fds) close(fd);
  b.close();
  a.close();
});

test('a listener takes connections with and without waiting', () => {
  const listener = new StreamListener(join(folder, 'listener'));
  assert.equal(listener.acceptNow(), undefined);
  const before = openDescriptors();
  const client = connectStream(listener.path);
  const server = listener.acceptNow()!;
  client.send(Uint8Array.of(7));
  const bytes = new Uint8Array(1);
  assert.equal(server.receive(bytes, 0, 1, []), 1);
  assert.equal(bytes[0], 7);
  server.close();
  client.close();
  assert.equal(openDescriptors(), before);
  listener.close();
  assert.throws(() => connectStream(listener.path), { code: 'E_SOCKET_CONNECT' });
});

test('as many bytes are on their way as was asked for', () => {
  const [a, b] = streamPair();
  setNonBlocking(a.fd, true);
  const bytes = new Uint8Array(4096);
  const fill = () => {
    let sent = 0;
    while (write(a.fd, bytes) > 0) sent++;
    return sent;
  };
  setSendBuffer(a.fd, 16384);
  const few = fill();
  setSendBuffer(a.fd, 150_000);
  assert.ok(few > 0 && fill() > few);
  a.close();
  b.close();
  assert.throws(() => setSendBuffer(a.fd, 16384), { code: 'E_SYSTEM' });
});
