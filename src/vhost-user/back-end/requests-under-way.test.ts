/** What a device has handed to the system when its front end stops it, or takes memory away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventFd } from '../../base/event-fd.ts';
import { MemoryStore } from '../../disk/memory-store.ts';
import { RawDisk } from '../../disk/raw.ts';
import { HeldEngine } from '../../disk/testing/held-engine.ts';
import { VIRTIO_BLK_T_IN } from '../../virtio/block/block-config.ts';
import { BlockDevice } from '../../virtio/block/block-device.ts';
import { RING_FORMATS, type RingFormat } from '../../virtio/testing/mock-guest.ts';
import { TestFrontEnd } from '../testing/test-front-end.ts';

/** A disk of 7s of which a request for a sector is under way. */
function underWay(format: RingFormat) {
  const engine = new HeldEngine(4, EventFd.create());
  const disk = new RawDisk(new MemoryStore('disk', new Uint8Array(512).fill(7)));
  const device = new BlockDevice(disk, { blockSize: 512, sparse: true, queues: 1, id: '' }, engine);
  const frontEnd = new TestFrontEnd(device);
  frontEnd.start(format);
  const header = new Uint8Array(16).fill(VIRTIO_BLK_T_IN);
  assert.equal(frontEnd.request(0, { readable: [header], writable: [512, 1] }), undefined);
  assert.equal(engine.held.length, 1);
  const { driver, call } = frontEnd.ring(0);
  return { frontEnd, engine, driver, call };
}

for (const format of RING_FORMATS) {
  const region = ({ guest }: TestFrontEnd) => guest.sharedRegion;
  const orders: Record<string, (frontEnd: TestFrontEnd) => void> = {
    GET_VRING_BASE: (frontEnd) => {
      const { num } = frontEnd.call('GET_VRING_BASE', { index: 0, num: 0 });
      const slots = format === 'split' ? 1 : 3;
      assert.equal(num, format === 'split' ? 1 : 0x8000_8000 + slots * 0x1_0001);
    },
    'SET_VRING_ENABLE 0': (frontEnd) => frontEnd.call('SET_VRING_ENABLE', { index: 0, num: 0 }),
    RESET_DEVICE: (frontEnd) => frontEnd.call('RESET_DEVICE', undefined),
    SET_MEM_TABLE: (frontEnd) => frontEnd.call('SET_MEM_TABLE', [region(frontEnd)], [frontEnd.guest.fd]),
    REM_MEM_REG: (frontEnd) => frontEnd.call('REM_MEM_REG', region(frontEnd)),
    'the end of the connection': (frontEnd) => frontEnd.backEnd.close(),
  };
  for (const [name, order] of Object.entries(orders)) {
    test(`${format}: ${name} comes after the answers to all that is under way`, () => {
      const { frontEnd, engine, driver, call } = underWay(format);
      order(frontEnd);
      assert.equal(engine.held.length, 0);
      assert.equal(call.clear(), 1);
      const data = driver.take()!.data;
      assert.deepEqual([data[0], data[511], data[512]], [7, 7, 0]);
      frontEnd.close();
      (engine.eventFd as EventFd).close();
    });
  }
}
