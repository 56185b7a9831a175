import assert from 'node:assert/strict';
import { test } from 'node:test';
import { O_RDWR } from '../../host-folder/constants.ts';
import { EPROTO } from '../../host-folder/errno.ts';
import { MemoryFolder } from '../../host-folder/memory/memory-folder.ts';
import { DEFAULT_P9_OPTIONS } from '../../p9/p9-options.ts';
import * as protocol from '../../p9/protocol.ts';
import { d, encode, P9Client, q } from '../../p9/testing/p9-client.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS } from '../testing/mock-guest.ts';
import { P9Device } from './p9-device.ts';

const ROOM = 8192;

function newDevice(): P9Device {
  return new P9Device('home', new MemoryFolder(), DEFAULT_P9_OPTIONS);
}

function connect(harness: DeviceHarness): P9Client {
  return new P9Client((request, room) => {
    // As Linux does it: the head of a long request is apart from its data, and so is that of the answer.
    const readable = [request.subarray(0, 23), request.subarray(23)].filter(({ length }) => length > 0);
    const { written, data } = harness.request(0, { readable, writable: [11, room - 11] });
    return written === 0 ? undefined : Uint8Array.from(data.subarray(0, written));
  }, ROOM);
}

test('the configuration is the tag, with its length in front', () => {
  assert.deepEqual([...newDevice().config], [4, 0, ...Buffer.from('home')]);
  for (const tag of ['', 'x'.repeat(255), 'a\0b']) {
    assert.throws(() => new P9Device(tag, new MemoryFolder(), DEFAULT_P9_OPTIONS), { code: 'E_9P_TAG' });
  }
});

for (const format of RING_FORMATS) {
  test(`${format}: files are made, written and read through the queue`, () => {
    const client = connect(new DeviceHarness(newDevice(), format));
    client.start(0, 1000);
    client.walk(0, 1);
    client.create(1, 'file', O_RDWR);
    assert.equal(client.write(1, 5, Buffer.alloc(4000, 'x')), 4000);
    assert.deepEqual(Buffer.from(client.read(1, 4000)), Buffer.alloc(5, 'x'));
    assert.equal(client.attributes(1).uid, 1000);
  });

  test(`${format}: requests without a header, without room for an answer or before the version harm nobody`, () => {
    const harness = new DeviceHarness(newDevice(), format);
    assert.equal(harness.request(0, { readable: [Uint8Array.of(1, 2, 3)], writable: [100] }).written, 0);
    assert.equal(harness.request(0, { writable: [100] }).written, 0);
    const getattr = encode(protocol.Tgetattr, 1, [d(0), q(0)]);
    assert.equal(harness.request(0, { readable: [getattr] }).written, 0);
    assert.equal(harness.request(0, { readable: [getattr], writable: [10] }).written, 0);
    const client = connect(harness);
    assert.equal(client.errno(protocol.Tgetattr, d(0), q(0)), EPROTO);
    client.start(0);
    client.attributes(0);
    harness.device.reset();
    assert.equal(client.errno(protocol.Tgetattr, d(0), q(0)), EPROTO);
  });
}
