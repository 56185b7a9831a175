/** Requests that wait for a lock, in the queues of the device. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_FUSE_OPTIONS } from '../../fuse/fuse-options.ts';
import { FUSE_INTERRUPT, FUSE_SETLK, FUSE_SETLKW } from '../../fuse/protocol.ts';
import { FuseClient, lockOf } from '../../fuse/testing/fuse-client.ts';
import { F_UNLCK, F_WRLCK, O_RDWR } from '../../host-folder/constants.ts';
import { EINTR, ENOLCK } from '../../host-folder/errno.ts';
import { MemoryFolder } from '../../host-folder/memory/memory-folder.ts';
import { EPOLLIN } from '../device.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import { FsDevice } from './fs-device.ts';

const ROOT = 1;
const URGENT = 0;
const REQUESTS = 1;
const TIMER = 3000;
/** Of the 64 descriptors that the harness's queues have. */
const MAY_WAIT = 8;
const HEADER = 16;

/** A guest one of whose processes has locked a file, and others that want it, too. */
function crowd(format: RingFormat) {
  const setup = { tag: 'home', queues: 1, window: 0, options: DEFAULT_FUSE_OPTIONS };
  const timer = { fd: TIMER, set: () => {}, clear: () => {}, close: () => {} };
  const harness = new DeviceHarness(new FsDevice(setup, new MemoryFolder(), timer), format);
  const driver = harness.drivers[REQUESTS]!;
  const client = new FuseClient((request, room) => {
    const { written, data } = harness.request(REQUESTS, { readable: [request], writable: [room] });
    return data.subarray(0, written);
  });
  client.init();
  const { node, file } = client.create(ROOT, 'file', O_RDWR, 0o666);
  client.ask(FUSE_SETLK, node.nodeid, lockOf(file, 1, F_WRLCK));
  const wait = (owner: number) => {
    const request = client.encode(FUSE_SETLKW, node.nodeid, lockOf(file, owner, F_WRLCK));
    driver.add({ readable: [request], writable: [HEADER] });
    harness.kick(REQUESTS);
    return new DataView(request.buffer).getBigUint64(8, true);
  };
  /** The number of the request that was answered, and its error. */
  const answer = () => {
    const result = driver.take();
    if (result === undefined) return undefined;
    const view = new DataView(result.data.buffer, result.data.byteOffset);
    return [view.getBigUint64(8, true), view.getInt32(4, true)];
  };
  const release = () => client.ask(FUSE_SETLK, node.nodeid, lockOf(file, 1, F_UNLCK));
  return { harness, client, wait, answer, release };
}

for (const format of RING_FORMATS) {
  test(`who is one too many to wait is told so, and the lock can still be given back: ${format}`, () => {
    const { harness, wait, answer, release } = crowd(format);
    const first = wait(10);
    for (let i = 1; i < MAY_WAIT; i++) wait(10 + i);
    assert.equal(answer(), undefined);
    for (let i = 0; i < 3; i++) {
      const refused = wait(100 + i);
      assert.deepEqual(answer(), [refused, -ENOLCK]);
    }
    release();
    harness.ready(TIMER, EPOLLIN);
    assert.deepEqual([answer(), answer()], [[first, 0], undefined], 'one has it now');
  });

  test(`who waits can be interrupted, which makes a place for another: ${format}`, () => {
    const { harness, client, wait, answer } = crowd(format);
    const waiting = Array.from({ length: MAY_WAIT }, (_, i) => wait(10 + i));
    const which = new Uint8Array(8);
    new DataView(which.buffer).setBigUint64(0, waiting[3]!, true);
    harness.drivers[URGENT]!.add({ readable: [client.encode(FUSE_INTERRUPT, 0, which)] });
    harness.kick(URGENT);
    assert.deepEqual(answer(), [waiting[3], -EINTR]);
    wait(100);
    assert.equal(answer(), undefined, 'it waits');
  });
}
