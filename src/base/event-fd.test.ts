import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventFd } from './event-fd.ts';

test('counts signals, and is empty after clear', () => {
  const event = EventFd.create();
  assert.equal(event.clear(), 0);
  event.signal();
  event.signal();
  assert.equal(new EventFd(event.fd).clear(), 2);
  assert.equal(event.clear(), 0);
  event.close();
  assert.throws(() => event.signal(), { errno: 'EBADF' });
  assert.throws(() => event.clear(), { errno: 'EBADF' });
});
