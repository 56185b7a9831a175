import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MockGuest, RING_FORMATS } from '../testing/mock-guest.ts';
import { DescriptorChain } from './descriptor-chain.ts';
import { DeviceRegion } from './device-memory.ts';

const text = (value: string) => new TextEncoder().encode(value);

for (const format of RING_FORMATS) {
  for (const eventIdx of [false, true]) {
    const features = { eventIdx, indirect: true };
    const name = `${format}${eventIdx ? ' with event index' : ''}`;

    test(`${name}: requests of all shapes cross the ring many times around`, () => {
      const guest = new MockGuest();
      const driver = guest.driver(format, 8, features);
      const queue = driver.open();
      const chain = new DescriptorChain();
      for (let round = 0; round < 1000; round++) {
        const indirect = round % 3 === 0;
        const id = driver.add({ readable: [text(`round `), text(`${round}`)], writable: [2, 3], indirect });
        const other = driver.add({ readable: [text('x')] });
        assert.ok(queue.pop(chain));
        assert.equal(chain.writable.length, 5);
        const read = new Uint8Array(chain.readable.length);
        chain.readable.copyTo(read);
        assert.equal(new TextDecoder().decode(read), `round ${round}`);
        assert.equal(chain.writable.copyFrom(text('abcde')), 5);
        queue.push(chain, 4);
        assert.ok(queue.pop(chain));
        assert.equal(chain.writable.length, 0);
        queue.push(chain, 0);
        assert.equal(queue.pop(chain), false);
        assert.deepEqual(driver.take(), { id, written: 4, data: text('abcde') });
        assert.equal(driver.take()?.id, other);
        assert.equal(driver.take(), undefined);
      }
      assert.equal(queue.broken, undefined);
    });

    test(`${name}: requests may come back in another order`, () => {
      const guest = new MockGuest();
      const driver = guest.driver(format, 8, features);
      const queue = driver.open();
      const chains = [new DescriptorChain(), new DescriptorChain(), new DescriptorChain()];
      for (let round = 0; round < 20; round++) {
        const ids = [[1], [1, 1], [1, 1, 1]].map((writable) => driver.add({ writable }));
        for (const chain of chains) assert.ok(queue.pop(chain));
        for (const i of [2, 0, 1]) queue.push(chains[i]!, i);
        for (const i of [2, 0, 1]) {
          const result = driver.take()!;
          assert.deepEqual([result.id, result.written, result.data.length], [ids[i], i, i + 1]);
        }
      }
    });

    test(`${name}: kicks and interrupts come when they are wanted, and only then`, () => {
      const driver = new MockGuest().driver(format, 4, features);
      const queue = driver.open();
      const chain = new DescriptorChain();
      const serve = () => {
        assert.ok(queue.pop(chain));
        queue.push(chain, 0);
      };
      for (let round = 0; round < 20; round++) {
        queue.disableNotification();
        driver.add({ writable: [1] });
        assert.equal(driver.needsKick(), false);
        assert.equal(queue.enableNotification(), true);
        driver.wantInterrupt(true);
        serve();
        assert.equal(queue.enableNotification(), false);
        assert.equal(queue.needsInterrupt(), true);
        assert.equal(queue.needsInterrupt(), false);
        driver.add({ writable: [1] });
        assert.equal(driver.needsKick(), true);
        driver.wantInterrupt(false);
        serve();
        assert.equal(queue.needsInterrupt(), false);
        assert.equal(driver.needsKick(), false);
        while (driver.take() !== undefined);
      }
    });
  }

  test(`${format}: a queue goes on where another stopped`, () => {
    const driver = new MockGuest().driver(format, 4);
    const chain = new DescriptorChain();
    let queue = driver.open();
    for (let round = 0; round < 10; round++) {
      driver.add({ writable: [1] });
      assert.ok(queue.pop(chain));
      queue.push(chain, 1);
      assert.ok(driver.take());
      queue = driver.open(queue.base);
    }
  });

  test(`${format}: requests that go back together all arrive`, () => {
    const driver = new MockGuest().driver(format, 8);
    const queue = driver.open();
    const chains = [new DescriptorChain(), new DescriptorChain(), new DescriptorChain()];
    for (let round = 0; round < 20; round++) {
      const ids = [[1], [1, 1], [1]].map((writable) => driver.add({ writable }));
      for (const chain of chains) assert.ok(queue.pop(chain));
      queue.pushTogether(chains, [1, 2, 0], round % 2 === 0 ? 3 : 2);
      if (round % 2 === 1) queue.push(chains[2]!, 0);
      const results = ids.map(() => driver.take()!);
      assert.deepEqual(
        results.map(({ id, written }) => [id, written]),
        ids.map((id, i) => [id, [1, 2, 0][i]]),
      );
      assert.ok(queue.needsInterrupt());
    }
  });

  test(`${format}: a request that was taken back is the next one again`, () => {
    const driver = new MockGuest().driver(format, 4);
    const queue = driver.open();
    const chain = new DescriptorChain();
    for (let round = 0; round < 10; round++) {
      const id = driver.add({ readable: [text('a'), text('b'), text('c')] });
      const { base } = queue;
      for (let i = 0; i < 2; i++) {
        assert.ok(queue.pop(chain));
        assert.equal(chain.id, id);
        if (i === 0) queue.unpop(chain);
        if (i === 0) assert.equal(queue.base, base);
      }
      queue.push(chain, 0);
      assert.equal(driver.take()?.id, id);
    }
  });

  test(`${format}: a request may lie in several regions of memory`, () => {
    const guest = new MockGuest();
    const { bytes } = guest.region;
    const half = guest.size / 2;
    const piece = (start: number, end: number) =>
      new DeviceRegion(guest.gpa + start, guest.userAddress(guest.gpa + start), {
        bytes: bytes.subarray(start, end),
        address: 0,
      });
    guest.memory.replace([piece(half, guest.size), piece(0, half)]);
    const driver = guest.driver(format, 4);
    const queue = driver.open();
    guest.allocate(half - 12000);
    driver.add({ readable: [new Uint8Array(20000).fill(7)] });
    const chain = new DescriptorChain();
    assert.ok(queue.pop(chain));
    assert.equal(chain.readable.count, 2);
    assert.equal(chain.readable.length, 20000);
    const read = new Uint8Array(20000);
    chain.readable.copyTo(read);
    assert.ok(read.every((byte) => byte === 7));
  });

  test(`${format}: a ring that is not all in memory, or not aligned, is refused`, () => {
    const guest = new MockGuest();
    const driver = guest.driver(format, 4);
    guest.memory.replace([]);
    assert.throws(() => driver.open(), { code: 'E_VIRTQUEUE' });
    guest.memory.replace([guest.region]);
    const queue = driver.open();
    guest.memory.replace([]);
    queue.relocate();
    assert.match(queue.broken!.message, /is not in guest memory/);
    assert.equal(queue.enableNotification(), false);
    Object.assign(driver, { addresses: { ...driver.addresses, descriptor: driver.addresses.descriptor + 8 } });
    guest.memory.replace([guest.region]);
    assert.throws(() => driver.open(), /is not at a multiple of 16/);
  });
}
