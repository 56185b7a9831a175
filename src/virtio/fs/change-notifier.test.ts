/** A driver that wants to know what others change in a folder of the host. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { DEFAULT_FUSE_OPTIONS, type FuseOptions } from '../../fuse/fuse-options.ts';
import { MAX_NOTIFICATION_SIZE } from '../../fuse/notification.ts';
import { FUSE_NOTIFY_INVAL_ENTRY, FUSE_NOTIFY_INVAL_INODE } from '../../fuse/protocol.ts';
import { FuseClient } from '../../fuse/testing/fuse-client.ts';
import { O_RDWR } from '../../host-folder/constants.ts';
import { openFolder } from '../../host-folder/linux/open-folder.ts';
import { MemoryFolder } from '../../host-folder/memory/memory-folder.ts';
import { EPOLLIN } from '../device.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import { FsDevice } from './fs-device.ts';

const ROOT = 1;
const NOTIFICATIONS = 1;
const TIMER = { fd: 3000, set: () => {}, clear: () => {}, close: () => {} };

let path: string;
let device: FsDevice | undefined;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'crosvm-notify-'));
  writeFileSync(join(path, 'file'), 'text');
  mkdirSync(join(path, 'folder'));
});

afterEach(() => {
  device?.close();
  device = undefined;
  rmSync(path, { recursive: true });
});

const onHost = (...names: string[]) => join(path, ...names);

function newDevice(options: Partial<FuseOptions> = {}): FsDevice {
  const setup = { tag: 'home', queues: 2, window: 0, options: { ...DEFAULT_FUSE_OPTIONS, ...options } };
  device = new FsDevice(setup, openFolder(path), TIMER);
  return device;
}

/** A guest that looks into the folder; its first queue for requests is number `queue`. */
function guestOf(harness: DeviceHarness, queue: number): FuseClient {
  const client = new FuseClient((request, room) => {
    const { written, data } = harness.request(queue, { readable: [request], writable: [room] });
    return written === 0 ? undefined : data.subarray(0, written);
  });
  client.init();
  return client;
}

/** The same, of a driver that knows notifications and has `buffers` for them. */
function notified(format: RingFormat, buffers = 32) {
  const harness = new DeviceHarness(newDevice(), format);
  const client = guestOf(harness, 2);
  offer(harness, buffers);
  return { harness, client };
}

function offer(harness: DeviceHarness, buffers: number, size = MAX_NOTIFICATION_SIZE): void {
  for (let i = 0; i < buffers; i++) harness.drivers[NOTIFICATIONS]!.add({ writable: [size] });
  harness.kick(NOTIFICATIONS);
}

/** What the driver was told, in words. */
function told(harness: DeviceHarness): string[] {
  const notifications: string[] = [];
  const driver = harness.drivers[NOTIFICATIONS]!;
  for (let result = driver.take(); result !== undefined; result = driver.take()) {
    const { written, data } = result;
    if (written === 0) {
      notifications.push('nothing');
      continue;
    }
    const view = new DataView(data.buffer, data.byteOffset, written);
    assert.deepEqual([view.getUint32(0, true), view.getBigUint64(8, true)], [written, 0n]);
    const node = view.getBigUint64(16, true);
    const code = view.getInt32(4, true);
    if (code === FUSE_NOTIFY_INVAL_ENTRY) {
      const length = view.getUint32(24, true);
      assert.deepEqual([written, view.getUint32(28, true), data[written - 1]], [32 + length + 1, 0, 0]);
      notifications.push(`${node}/${Buffer.from(data.subarray(32, 32 + length))}`);
    } else {
      assert.deepEqual([code, written, view.getBigInt64(32, true)], [FUSE_NOTIFY_INVAL_INODE, 40, 0n]);
      notifications.push(view.getBigInt64(24, true) < 0n ? `attributes of ${node}` : `data of ${node}`);
    }
  }
  driver.wantInterrupt(true);
  return notifications;
}

/** What it is told when the system says that something has happened. */
function toldOfHost(harness: DeviceHarness): string[] {
  harness.ready(harness.watched[0]!, EPOLLIN);
  return told(harness);
}

for (const format of RING_FORMATS) {
  test(`${format}: what is made, changed, renamed and removed on the host is told`, () => {
    const { harness, client } = notified(format);
    const file = client.lookup(ROOT, 'file').nodeid;
    const folder = client.lookup(ROOT, 'folder').nodeid;
    assert.deepEqual(toldOfHost(harness), [], 'looking is no change');
    writeFileSync(onHost('new'), '');
    assert.deepEqual(toldOfHost(harness), [`${ROOT}/new`]);
    assert.equal(harness.interrupts[NOTIFICATIONS], 1);
    writeFileSync(onHost('file'), 'more text', { flag: 'a' });
    assert.deepEqual(toldOfHost(harness), [`data of ${file}`]);
    writeFileSync(onHost('new'), 'the guest does not have it');
    assert.deepEqual(toldOfHost(harness), []);
    chmodSync(onHost('file'), 0o600);
    chmodSync(path, 0o700);
    assert.deepEqual(toldOfHost(harness), [`attributes of ${file}`, `attributes of ${ROOT}`]);
    writeFileSync(onHost('folder', 'unseen'), '');
    assert.deepEqual(toldOfHost(harness), [], 'nobody has looked into it');
    client.call(1, folder, Buffer.from('missing\0'));
    renameSync(onHost('file'), onHost('folder', 'missing'));
    assert.deepEqual(toldOfHost(harness), [`${ROOT}/file`, `${folder}/missing`]);
    rmSync(onHost('new'));
    rmSync(onHost('folder'), { recursive: true });
    assert.ok(toldOfHost(harness).includes(`${ROOT}/new`));
  });

  test(`${format}: what the guest changes itself is not told, what others did before is`, () => {
    const { harness, client } = notified(format);
    client.lookup(ROOT, 'file');
    const { node, file } = client.create(ROOT, 'own', O_RDWR, 0o666);
    client.write(node.nodeid, file, 0, Buffer.from('text'));
    client.release(node.nodeid, file);
    client.makeDirectory(ROOT, 'own folder');
    client.unlink(ROOT, 'file');
    assert.deepEqual(toldOfHost(harness), []);
    writeFileSync(onHost('own'), 'of another');
    client.unlink(ROOT, 'own');
    assert.deepEqual(new Set(told(harness)), new Set([`data of ${node.nodeid}`]));
  });

  test(`${format}: without buffers what is told waits, and too much of it becomes one thing`, () => {
    const { harness, client } = notified(format, 0);
    client.lookup(ROOT, 'file');
    const change = (count: number) => {
      for (let i = 0; i < count; i++) rmSync(onHost(`${i}`), { force: true });
      for (let i = 0; i < count; i++) writeFileSync(onHost(`${i}`), '');
    };
    change(2);
    assert.deepEqual(toldOfHost(harness), []);
    offer(harness, 1);
    assert.deepEqual(told(harness), [`${ROOT}/0`]);
    offer(harness, 4);
    assert.deepEqual(told(harness), [`${ROOT}/1`]);
    for (let round = 0; round < 6; round++) {
      change(1000);
      assert.equal(toldOfHost(harness).length, round === 0 ? 3 : 0);
    }
    offer(harness, 2);
    assert.deepEqual(told(harness), [`data of ${ROOT}`]);
    writeFileSync(onHost('last'), '');
    assert.deepEqual(toldOfHost(harness), [`${ROOT}/last`]);
  });

  test(`${format}: buffers that are too short come back empty`, () => {
    const { harness, client } = notified(format, 0);
    client.lookup(ROOT, 'file');
    offer(harness, 40, 8);
    harness.drivers[NOTIFICATIONS]!.add({ readable: [new Uint8Array(300)] });
    offer(harness, 1);
    writeFileSync(onHost('new'), '');
    assert.deepEqual(toldOfHost(harness), [...new Array<string>(41).fill('nothing'), `${ROOT}/new`]);
    assert.equal(harness.queue(NOTIFICATIONS)!.broken, undefined);
  });
}

test('a driver that does not know notifications has no queue for them, and a reset ends them', () => {
  const harness = new DeviceHarness(newDevice(), 'split', 0n);
  const client = guestOf(harness, 1);
  assert.equal(client.lookup(ROOT, 'file').size, 4);
  assert.deepEqual(harness.watched, []);
  assert.equal(new DataView(device!.config.buffer).getUint32(36, true), 2);
  device!.negotiated(device!.features);
  assert.equal(harness.watched.length, 1);
  device!.reset();
  assert.deepEqual(harness.watched, []);
});

test('they are offered where the guest remembers what may change, for folders that tell of it', () => {
  assert.deepEqual([newDevice().features, device!.queueSizes.length, device!.config.length], [1n, 4, 44]);
  device!.close();
  for (const cache of ['never', 'always'] as const) {
    assert.deepEqual([newDevice({ cache }).features, device!.queueSizes.length, device!.config.length], [0n, 3, 40]);
    device!.close();
  }
  device = new FsDevice({ tag: 'a', queues: 1, window: 0, options: DEFAULT_FUSE_OPTIONS }, new MemoryFolder(), TIMER);
  assert.deepEqual([device.features, device.queueSizes.length], [0n, 2]);
});

const kept = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'));
const skip = kept > 100_000 && `the system keeps ${kept} changes`;

test('when the system has lost changes, all that is watched counts as changed', { skip }, () => {
  const { harness, client } = notified('split');
  const folder = client.lookup(ROOT, 'folder').nodeid;
  client.call(1, folder, Buffer.from('missing\0'));
  const files = ['file', 'other'].map((name) => openSync(onHost(name), 'w'));
  // The same thing twice in a row is told once.
  for (let i = 0; i < kept + 10; i++) writeSync(files[i % 2]!, 'x');
  for (const file of files) closeSync(file);
  let all: string[] = [];
  for (let turn = 0; turn < 3; turn++) all = all.concat(toldOfHost(harness));
  assert.deepEqual(all.slice(-2), [`data of ${ROOT}`, `data of ${folder}`]);
});
