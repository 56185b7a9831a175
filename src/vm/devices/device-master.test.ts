import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packetPair } from '../../base/unix-socket.ts';
import { DeviceMaster } from './device-master.ts';

const say = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const RESIZE = { kind: 'resizeDisk', size: 7 } as const;

function pair() {
  const [ours, device] = packetPair();
  /** The next order that the device was given. Throws if there is none. */
  const nextOrder = () => JSON.parse(new TextDecoder().decode(device.receive(0)));
  return { master: new DeviceMaster(ours), device, nextOrder };
}

/** Whatever is to be done now was done. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('orders are given one after the other', async () => {
  const { master, device, nextOrder } = pair();
  const first = master.order(RESIZE, 'done');
  const second = master.order({ kind: 'balloonStats' }, 'balloonStats');
  await settled();
  assert.deepEqual(nextOrder(), RESIZE);
  assert.throws(nextOrder, { code: 'E_SOCKET_TIMEOUT' });
  device.send(say({ kind: 'balloonStats', stats: {}, actual: 1 })); // an answer that comes too late
  device.send(say({ kind: 'done' }));
  assert.deepEqual(await first, { kind: 'done' });
  await settled();
  assert.deepEqual(nextOrder(), { kind: 'balloonStats' });
  device.send(say({ kind: 'balloonStats', stats: { freeMemory: 5, evil: 7, swapIn: -1 }, actual: 4096 }));
  assert.deepEqual(await second, { kind: 'balloonStats', stats: { freeMemory: 5 }, actual: 4096 });
  master.close();
  device.close();
});

test('what a device refuses, or answers without sense, fails', async () => {
  const { master, device } = pair();
  for (const [answer, message] of [
    [say({ kind: 'failed', message: 'no room' }), 'no room'],
    [Uint8Array.of(0xff), /answer that is none/],
    [say(null), /answer that is none/],
    [say({ kind: 'balloonStats', actual: -1 }), /answer that is none/],
  ] as const) {
    const order = master.order(RESIZE, 'done');
    device.send(answer);
    await assert.rejects(order, { code: 'E_DEVICE_ORDER', message });
  }
  master.close();
  device.close();
});

test('a device that ends fails all that waits, and takes no more than so much', async () => {
  const { master, device } = pair();
  const orders = Array.from({ length: 16 }, () => master.order(RESIZE, 'done'));
  assert.throws(() => master.order(RESIZE, 'done'), { code: 'E_DEVICE_ORDER' });
  device.close();
  for (const order of orders) await assert.rejects(order);
  master.close();
});
