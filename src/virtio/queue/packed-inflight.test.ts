import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MockGuest } from '../testing/mock-guest.ts';
import { PackedDriver } from '../testing/packed-driver.ts';
import { DescriptorChain } from './descriptor-chain.ts';
import { inflightSize } from './inflight-size.ts';
import { PackedInflight } from './packed-inflight.ts';
import { PACKED_START, PackedQueue } from './packed-queue.ts';

const SIZE = 8;
const features = { eventIdx: false, indirect: false };

function setUp() {
  const guest = new MockGuest();
  const driver = new PackedDriver(guest, SIZE, features);
  const area = new DataView(new ArrayBuffer(inflightSize(SIZE)));
  // The front end does not know where a back end was that has crashed.
  const open = () =>
    new PackedQueue(guest.memory, SIZE, driver.addresses, features, PACKED_START, new PackedInflight(area, SIZE));
  return { driver, area, open };
}

test('a successor does again what was not given back, anywhere in the ring and in any order', () => {
  const { driver, open } = setUp();
  const chains = [new DescriptorChain(), new DescriptorChain()] as const;
  for (let round = 0; round < 30; round++) {
    const ids = [[1], [1, 1], [1]].map((writable) => driver.add({ writable }));
    const first = open();
    assert.ok(first.pop(chains[0]));
    assert.ok(first.pop(chains[1]));
    // Over the descriptors of the request that is still under way.
    first.push(chains[1], 1);
    assert.equal(driver.take()?.id, ids[1]);
    // It ends here, with the first request taken, and the third not even seen.
    const second = open();
    for (const id of [ids[0], ids[2]]) {
      assert.ok(second.pop(chains[0]));
      assert.deepEqual([chains[0].id, chains[0].writable.length], [id, 1]);
      second.push(chains[0], 1);
      assert.equal(driver.take()?.id, id);
    }
    assert.equal(second.pop(chains[0]), false);
  }
});

test('a request to do again that is put back is the next one', () => {
  const { driver, open } = setUp();
  const ids = [1, 2].map((length) => driver.add({ writable: [length] }));
  const chain = new DescriptorChain();
  const first = open();
  while (first.pop(chain));
  const second = open();
  for (let i = 0; i < 3; i++) {
    assert.ok(second.pop(chain));
    assert.equal(chain.id, ids[0]);
    second.unpop(chain);
    assert.equal(second.base, PACKED_START);
  }
  for (const id of ids) {
    assert.ok(second.pop(chain));
    assert.equal(chain.id, id);
    second.push(chain, 1);
  }
  assert.deepEqual([driver.take()?.id, driver.take()?.id], ids);
});

test('nonsense in the area is refused, or gives requests that are checked like all others', () => {
  for (let byte = 0; byte < 256; byte++) {
    const { area, open } = setUp();
    new Uint8Array(area.buffer).fill(byte);
    area.setUint16(8, 1, true);
    const chain = new DescriptorChain();
    try {
      const queue = open();
      for (let i = 0; i < SIZE; i++) if (!queue.pop(chain)) break;
      assert.ok(chain.readable.length + chain.writable.length === 0);
    } catch (error) {
      assert.equal((error as { code: string }).code, 'E_VIRTQUEUE');
    }
  }
});
