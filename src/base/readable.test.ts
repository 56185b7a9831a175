import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventFd } from './event-fd.ts';
import { onReadable, waitReadable } from './readable.ts';

test('calls back on the event loop until closed', async () => {
  const event = EventFd.create();
  const counts: number[] = [];
  await new Promise<void>((resolve) => {
    const subscription = onReadable(event.fd, () => {
      counts.push(event.clear());
      if (counts.length < 2) event.signal();
      else {
        subscription.close();
        resolve();
      }
    });
    event.signal();
  });
  assert.deepEqual(counts, [1, 1]);
  event.close();
});

test('waitReadable tells whether there is something', () => {
  const event = EventFd.create();
  assert.equal(waitReadable(event.fd, 0), false);
  event.signal();
  assert.equal(waitReadable(event.fd, -1), true);
  event.close();
});
