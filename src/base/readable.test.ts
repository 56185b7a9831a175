import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventFd } from './event-fd.ts';
import { write } from './fd.ts';
import { onReadable, waitReadable, waitWritable } from './readable.ts';

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

test('waitWritable tells whether there is room', () => {
  const event = EventFd.create();
  assert.equal(waitWritable(event.fd, -1), true);
  // The counter's greatest value: nothing can be added to it.
  write(event.fd, Uint8Array.of(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
  assert.equal(waitWritable(event.fd, 0), false);
  event.close();
});
