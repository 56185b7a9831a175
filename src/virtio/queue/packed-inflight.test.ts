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
    new PackedQueue(guest.memory, SIZE, driver.addresses, features, PACKED_START, new PackedInflight(area));
  return { driver, area, open };
}

test('a successor does again what was not given back, anywhere in the ring', () => {
  const { driver, open } = setUp();
  const chains = [new DescriptorChain(), new DescriptorChain()];
  for (let round = 0; round < 30; round++) {
    const ids = [[1], [1, 1], [1]].map((writable) => driver.add({ writable }));
    const first = open();
    assert.ok(first.pop(chains[0]!));
    assert.ok(first.pop(chains[1]!));
    first.push(chains[0]!, 1);
    // It ends here, with the second request taken, and the third not even seen.
    const second = open();
    for (const id of ids.slice(1)) {
      assert.ok(second.pop(chains[0]!));
      assert.equal(chains[0]!.id, id);
      second.push(chains[0]!, 1);
    }
    assert.equal(second.pop(chains[0]!), false);
    assert.deepEqual(
      ids.map(() => driver.take()?.id),
      ids,
    );
  }
});

test('a predecessor that died around its last request is understood', () => {
  const { driver, area, open } = setUp();
  const chain = new DescriptorChain();
  const [first, last] = [driver.add({ writable: [1] }), driver.add({ writable: [1] })];
  const queue = open();
  assert.ok(queue.pop(chain));
  queue.push(chain, 1);
  // It had not noted that the driver can see the first one.
  area.setUint16(18, 0, true);
  let successor = open();
  assert.ok(successor.pop(chain));
  assert.equal(chain.id, last);
  // It was about to give the last one back.
  area.setUint16(16, 2, true);
  successor = open();
  assert.ok(successor.pop(chain));
  assert.equal(chain.id, last);
  successor.push(chain, 1);
  assert.deepEqual([driver.take()?.id, driver.take()?.id], [first, last]);
});

test('nonsense in the area is refused', () => {
  const { area, open } = setUp();
  new Uint8Array(area.buffer).fill(0xff);
  area.setUint16(8, 1, true);
  assert.throws(open, { code: 'E_VIRTQUEUE' });
});
