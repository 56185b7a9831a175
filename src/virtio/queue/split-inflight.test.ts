import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MockGuest } from '../testing/mock-guest.ts';
import { SplitDriver } from '../testing/split-driver.ts';
import { DescriptorChain } from './descriptor-chain.ts';
import { inflightSize } from './inflight-size.ts';
import { SplitInflight } from './split-inflight.ts';
import { SplitQueue } from './split-queue.ts';

const SIZE = 8;
const features = { eventIdx: false, indirect: false };

function setUp() {
  const guest = new MockGuest();
  const driver = new SplitDriver(guest, SIZE, features);
  const area = new DataView(new ArrayBuffer(inflightSize(SIZE)));
  const open = () => new SplitQueue(guest.memory, SIZE, driver.addresses, features, 0, new SplitInflight(area, SIZE));
  return { driver, area, open };
}

test('a successor does what was taken and not given back, in order, and then the rest', () => {
  const { driver, open } = setUp();
  const chains = [0, 1, 2, 3].map(() => new DescriptorChain());
  const first = open();
  const ids = [0, 1, 2, 3].map(() => driver.add({ writable: [1] }));
  for (const chain of chains) assert.ok(first.pop(chain));
  first.push(chains[1]!, 1);
  const late = driver.add({ writable: [1] });

  const second = open();
  const chain = new DescriptorChain();
  for (const id of [ids[0], ids[2], ids[3], late]) {
    assert.ok(second.pop(chain));
    assert.equal(chain.id, id);
    second.push(chain, 1);
  }
  assert.equal(second.pop(chain), false);
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => driver.take()?.id),
    [ids[1], ids[0], ids[2], ids[3], late],
  );
  assert.equal(open().pop(chain), false);
});

test('a request that was taken and put back is the next one, also of a predecessor', () => {
  const { driver, open } = setUp();
  const chain = new DescriptorChain();
  const ids = [0, 1, 2].map(() => driver.add({ writable: [1] }));
  const first = open();
  assert.ok(first.pop(chain));
  assert.ok(first.pop(new DescriptorChain()));
  const second = open();
  for (let i = 0; i < 3; i++) {
    assert.ok(second.pop(chain));
    assert.equal(chain.id, ids[0]);
    second.unpop(chain);
    assert.equal(second.base, 0);
  }
  for (const id of ids) {
    assert.ok(second.pop(chain));
    assert.equal(chain.id, id);
    second.push(chain, 1);
  }
  assert.equal(second.pop(chain), false);
});

test('a predecessor that died between giving back and noting it is understood', () => {
  const { driver, area, open } = setUp();
  const chain = new DescriptorChain();
  const queue = open();
  const id = driver.add({ writable: [1] });
  assert.ok(queue.pop(chain));
  queue.push(chain, 1);
  // As if the last two stores of `returned` were missing.
  area.setUint8(16 + 16 * id, 1);
  area.setUint16(14, 0, true);
  assert.equal(open().pop(chain), false);
});

test('nonsense in the area gives requests that are checked like all others', () => {
  const { area, open } = setUp();
  new Uint8Array(area.buffer).fill(0xff);
  area.setUint16(8, 1, true);
  for (let head = 0; head < SIZE; head++) area.setUint8(16 + 16 * head, 1);
  const queue = open();
  const chain = new DescriptorChain();
  for (let i = 0; i < SIZE; i++) assert.ok(queue.pop(chain));
  assert.equal(chain.readable.length, 0);
  assert.equal(queue.pop(chain), false);
});
