import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { EPOLLIN, EPOLLOUT, WaitContext } from './epoll.ts';
import { EventFd } from './event-fd.ts';

if (isMainThread) runTests();
else answer(workerData as { kick: number; done: number });

/** The worker: blocks until it is kicked, and says so. */
function answer({ kick, done }: { kick: number; done: number }): void {
  const context = new WaitContext();
  context.add(kick, 5);
  assert.equal(context.wait(-1), 1);
  assert.equal(context.token(0), 5);
  new EventFd(done).signal();
}

function runTests(): void {
  test('reports tokens and events, and nothing when nothing is ready', () => {
    const context = new WaitContext();
    const first = EventFd.create();
    const second = EventFd.create();
    context.add(first.fd, 1);
    context.add(second.fd, 0xffff_fffe);
    assert.equal(context.wait(0), 0);
    second.signal();
    assert.equal(context.wait(0), 1);
    assert.equal(context.token(0), 0xffff_fffe);
    assert.equal(context.events(0), EPOLLIN);
    context.modify(first.fd, 3, EPOLLOUT);
    context.remove(second.fd);
    assert.equal(context.wait(0), 1);
    assert.equal(context.token(0), 3);
    assert.equal(context.events(0), EPOLLOUT);
    for (const resource of [context, first, second]) resource.close();
  });

  test('waits for parts of a millisecond, and for longer than there is a number for', () => {
    const context = new WaitContext();
    const start = performance.now();
    assert.equal(context.wait(1.5), 0);
    assert.ok(performance.now() - start >= 1.5);
    const event = EventFd.create();
    context.add(event.fd, 1);
    event.signal();
    for (const timeout of [0.25, 1e15, 1e15 + 0.5]) assert.equal(context.wait(timeout), 1);
    for (const resource of [context, event]) resource.close();
  });

  test('one wait reports no more than its capacity, the next the others', () => {
    const context = new WaitContext(2);
    const events = [1, 2, 3].map((token) => {
      const event = EventFd.create();
      event.signal();
      context.add(event.fd, token);
      return event;
    });
    const seen = new Set<number>();
    for (let round = 0; round < 2; round++) {
      const n = context.wait(0);
      assert.equal(n, 2);
      for (let i = 0; i < n; i++) seen.add(context.token(i));
    }
    assert.deepEqual([...seen].sort(), [1, 2, 3]);
    for (const event of events) event.close();
    context.close();
  });

  test('a wait in a worker thread ends by a signal from another', async () => {
    const kick = EventFd.create();
    const done = EventFd.create();
    const worker = new Worker(new URL(import.meta.url), { workerData: { kick: kick.fd, done: done.fd } });
    const exited = new Promise<number>((resolve, reject) => worker.on('error', reject).on('exit', resolve));
    kick.signal();
    assert.equal(await exited, 0);
    assert.equal(done.clear(), 1);
    kick.close();
    done.close();
  });

  test('a descriptor that is not open is refused by number', () => {
    const context = new WaitContext();
    assert.throws(() => context.add(9999, 0), /epoll_ctl failed for descriptor 9999: .*\(EBADF\)/);
    context.close();
  });
}
