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

test('what was given back in another order, over the descriptors of others, leaves these to the successor', () => {
  const { driver, open } = setUp();
  for (let round = 0; round < 30; round++) {
    const chains = [0, 1, 2].map(() => new DescriptorChain());
    const ids = [[1, 2], [3], [4, 5]].map((writable) => driver.add({ writable }));
    const first = open();
    for (const chain of chains) assert.ok(first.pop(chain));
    first.push(chains[2]!, 1);
    assert.equal(driver.take()?.id, ids[2]);
    // The place of the first request in the ring is the driver's again.
    const late = driver.add({ writable: [6, 7] });
    const second = open();
    const expected: [number, number][] = [
      [ids[0]!, 3],
      [ids[1]!, 3],
      [late, 13],
    ];
    const again = expected.map(([id, length]) => {
      const chain = new DescriptorChain();
      assert.ok(second.pop(chain));
      assert.deepEqual([chain.id, chain.writable.length], [id, length]);
      return chain;
    });
    assert.equal(second.pop(new DescriptorChain()), false);
    for (const i of [1, 2, 0]) second.push(again[i]!, 1);
    const back = [driver.take()?.id, driver.take()?.id, driver.take()?.id];
    assert.deepEqual(back, [ids[1], late, ids[0]]);
  }
});

test('a request that was taken and put back is the next one, also of a predecessor', () => {
  const { driver, open } = setUp();
  const chain = new DescriptorChain();
  const ids = [driver.add({ writable: [1, 2] }), driver.add({ writable: [3] })];
  const first = open();
  assert.ok(first.pop(chain));
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
  assert.equal(second.pop(chain), false);
  assert.equal(open().pop(chain), false);
});

test('a predecessor that died around its last request is understood', () => {
  const { driver, area, open } = setUp();
  const chain = new DescriptorChain();
  const [first, last] = [driver.add({ writable: [1] }), driver.add({ writable: [1] })];
  const queue = open();
  assert.ok(queue.pop(chain));
  queue.push(chain, 1);
  // It had not noted that the driver can see the first one, whose entry is the first.
  area.setUint16(18, 0, true);
  area.setUint8(32, 2);
  let successor = open();
  assert.ok(successor.pop(chain));
  assert.equal(chain.id, last);
  // It was about to give the last one back.
  area.setUint16(16, 2, true);
  area.setUint8(32, 2);
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
  const cases: [string, (entry: number) => void][] = [
    ['none', (entry) => area.setUint16(entry + 6, 0, true)],
    ['too many', (entry) => area.setUint16(entry + 6, 0xffff, true)],
    ['a circle', (entry) => area.setUint16(entry + 6, 2, true)],
    [
      'next to nowhere',
      (entry) => {
        area.setUint16(entry + 6, 2, true);
        area.setUint16(entry + 2, SIZE, true);
      },
    ],
  ];
  for (const [what, damage] of cases) {
    new Uint8Array(area.buffer).fill(0);
    area.setUint16(8, 1, true);
    area.setUint8(32, 1);
    damage(32);
    assert.throws(open, { code: 'E_VIRTQUEUE', message: 'the in-flight area is damaged' }, what);
  }
});

test('more descriptors under way than the ring has break it', () => {
  const { driver, open } = setUp();
  const queue = open();
  const chain = new DescriptorChain();
  for (let i = 0; i < SIZE; i++) driver.add({ writable: [1] });
  for (let i = 0; i < SIZE; i++) assert.ok(queue.pop(chain));
  driver.add({ writable: [1] });
  assert.equal(queue.pop(chain), false);
  assert.match(queue.broken!.message, /more descriptors are under way/);
});
