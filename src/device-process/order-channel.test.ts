import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EventLoop } from '../base/event-loop.ts';
import { connectPacket, PacketListener } from '../base/unix-socket.ts';
import { CrosvmError } from '../errors.ts';
import type { OrderHandlers } from './made-device.ts';
import { takeOrders } from './order-channel.ts';

const folder = mkdtempSync(join(tmpdir(), 'orders-'));
after(() => rmSync(folder, { recursive: true }));

/** What is answered to each packet. */
function answers(handlers: OrderHandlers, packets: readonly string[]): unknown[] {
  const listener = new PacketListener(join(folder, 'socket'));
  const vmm = connectPacket(listener.path);
  const loop = new EventLoop();
  takeOrders(loop, listener.accept(), handlers);
  const heard = packets.map((packet) => {
    vmm.send(new TextEncoder().encode(packet));
    loop.turn(100);
    return JSON.parse(new TextDecoder().decode(vmm.receive(0)));
  });
  vmm.close();
  loop.turn(100);
  loop.turn(0);
  loop.close();
  listener.close();
  return heard;
}

test('orders are carried out and answered; others are refused, and the next one is heard', () => {
  const sizes: number[] = [];
  const handlers: OrderHandlers = {
    inflateBalloon({ size }, answer) {
      if (size === 13) throw new CrosvmError('E_X', 'not thirteen');
      sizes.push(size);
      answer({ kind: 'done' });
    },
  };
  const failed = (message: string) => ({ kind: 'failed', message });
  const cases: [string, unknown][] = [
    ['{"kind":"beThere"}', { kind: 'done' }],
    ['{"kind":"inflateBalloon","size":4096}', { kind: 'done' }],
    ['{"kind":"inflateBalloon","size":13}', failed('not thirteen')],
    ['{"kind":"resizeDisk","size":4096}', failed('the device knows no order resizeDisk')],
    ['{"kind":"inflateBalloon","size":-1}', failed('an order to a device is none that there is')],
    ['{"kind":"inflateBalloon","size":"1"}', failed('an order to a device is none that there is')],
    ['{"kind":"toString"}', failed('an order to a device is none that there is')],
    ['null', failed('an order to a device is none that there is')],
    ['{', failed('an order to a device is not JSON')],
    ['{"kind":"inflateBalloon","size":0}', { kind: 'done' }],
  ];
  assert.deepEqual(
    answers(
      handlers,
      cases.map(([packet]) => packet),
    ),
    cases.map(([, answer]) => answer),
  );
  assert.deepEqual(sizes, [4096, 0]);
});
