import assert from 'node:assert/strict';
import { fstatSync } from 'node:fs';
import { test } from 'node:test';
import { close, closeAll } from '../base/fd.ts';
import { createMemfd } from '../base/memfd.ts';
import { streamPair } from '../base/unix-stream.ts';
import { MessageStream } from './message-stream.ts';

test('messages arrive whole and in order, each with its descriptors, also when many wait', () => {
  const [a, b] = streamPair();
  const [sender, receiver] = [new MessageStream<unknown, unknown>(a), new MessageStream<unknown, unknown>(b)];
  assert.deepEqual(receiver.receive(), []);
  const sizes = [4096, 8192, 12288];
  const fds = sizes.map((size) => createMemfd('test', size));
  const long = 'ü\n'.repeat(20_000);
  sender.send({ n: 1 }, fds.slice(0, 2));
  sender.send('no descriptors');
  sender.send(long, fds.slice(2));
  closeAll(fds);
  const received = [];
  while (received.length < 3) received.push(...receiver.receive()!);
  assert.deepEqual(
    received.map(({ message }) => message),
    [{ n: 1 }, 'no descriptors', long],
  );
  assert.deepEqual(
    received.map(({ fds }) => fds.map((fd) => fstatSync(fd).size)),
    [sizes.slice(0, 2), [], sizes.slice(2)],
  );
  for (const { fds } of received) for (const fd of fds) close(fd);
  a.close();
  assert.equal(receiver.receive(), undefined);
  b.close();
});
