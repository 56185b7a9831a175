import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EPOLLIN, EPOLLOUT } from './epoll.ts';
import { EventFd } from './event-fd.ts';
import { EventLoop } from './event-loop.ts';
import { close, O_RDONLY, open } from './fd.ts';

test('callbacks come for what is ready, and may watch and unwatch anything', () => {
  const loop = new EventLoop();
  const [a, b, c] = [EventFd.create(), EventFd.create(), EventFd.create()];
  const seen: string[] = [];
  loop.watch(a!.fd, EPOLLIN, (events) => {
    seen.push(`a ${events}`);
    a!.clear();
    loop.unwatch(b!.fd);
    loop.watch(c!.fd, EPOLLIN, () => seen.push('c'));
  });
  loop.watch(b!.fd, EPOLLIN, () => seen.push('b'));
  a!.signal();
  b!.signal();
  loop.turn(0);
  // Both were ready; what is not watched any more is not heard, nor does its place speak for another.
  assert.deepEqual(seen, ['a 1']);
  loop.turn(0);
  assert.deepEqual(seen, ['a 1']);
  c!.signal();
  loop.turn(0);
  assert.deepEqual(seen, ['a 1', 'c']);
  loop.rewatch(c!.fd, EPOLLOUT);
  loop.turn(0);
  assert.equal(seen.length, 3);
  for (const event of [a, b, c]) {
    loop.unwatch(event!.fd);
    event!.close();
  }
  loop.turn(0);
  loop.close();
});

test('what cannot be waited for is refused, and the loop goes on', () => {
  const loop = new EventLoop();
  const file = open(import.meta.filename, O_RDONLY);
  assert.throws(() => loop.watch(file, EPOLLIN, () => {}), { errno: 'EPERM' });
  const event = EventFd.create();
  let calls = 0;
  loop.watch(event.fd, EPOLLIN, () => calls++);
  assert.throws(() => loop.watch(event.fd, EPOLLIN, () => {}), { errno: 'EEXIST' });
  event.signal();
  loop.turn(0);
  assert.equal(calls, 1);
  loop.close();
  event.close();
  close(file);
});
