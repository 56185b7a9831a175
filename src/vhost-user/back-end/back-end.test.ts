import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { close, dup } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { streamPair } from '../../base/unix-stream.ts';
import type { HostMemory } from '../../memory/scatter-list.ts';
import type { VirtioDevice } from '../../virtio/device.ts';
import { RngDevice } from '../../virtio/rng/rng-device.ts';
import { RING_FORMATS } from '../../virtio/testing/mock-guest.ts';
import type { SplitDriver } from '../../virtio/testing/split-driver.ts';
import { MessageChannel } from '../message-channel.ts';
import { FLAG_REPLY, type Message } from '../protocol/message.ts';
import { u64 } from '../protocol/payloads.ts';
import { backEndRequests } from '../protocol/requests.ts';
import { SharedGuest, TestFrontEnd } from '../testing/test-front-end.ts';

const openDescriptors = () => readdirSync('/proc/self/fd').length;

function ones({ bytes }: HostMemory, start: number, length: number): void {
  bytes.fill(1, start, start + length);
}

function started(device: VirtioDevice = new RngDevice(ones)): TestFrontEnd {
  const frontEnd = new TestFrontEnd(device);
  frontEnd.start('split');
  return frontEnd;
}

for (const format of RING_FORMATS) {
  test(`${format}: requests are served, and everything is given back at the end`, () => {
    const before = openDescriptors();
    const frontEnd = new TestFrontEnd(new RngDevice(ones));
    frontEnd.start(format);
    for (let i = 0; i < 100; i++)
      assert.deepEqual(frontEnd.request(0, { writable: [3] })?.data, Uint8Array.of(1, 1, 1));
    frontEnd.close();
    assert.equal(openDescriptors(), before);
  });

  test(`${format}: a ring stops, says where, and goes on from there`, () => {
    const frontEnd = new TestFrontEnd(new RngDevice(ones));
    frontEnd.start(format);
    const { driver, kick, call } = frontEnd.ring(0);
    assert.ok(frontEnd.request(0, { writable: [1] }));
    const { num } = frontEnd.call('GET_VRING_BASE', { index: 0, num: 0 });
    assert.equal(num, format === 'split' ? 1 : 0x8001_8001);
    driver.add({ writable: [1] });
    kick.signal();
    frontEnd.run();
    assert.equal(driver.take(), undefined);
    frontEnd.call('SET_VRING_BASE', { index: 0, num });
    // A ring that starts looks for itself what came meanwhile.
    frontEnd.call('SET_VRING_KICK', { index: 0, absent: false }, [kick.fd]);
    assert.ok(driver.take());
    assert.equal(call.clear(), 1);
    frontEnd.close();
  });

  test(`${format}: a disabled ring rests`, () => {
    const frontEnd = new TestFrontEnd(new RngDevice(ones));
    frontEnd.start(format);
    frontEnd.call('SET_VRING_ENABLE', { index: 0, num: 0 });
    assert.equal(frontEnd.request(0, { writable: [1] }), undefined);
    frontEnd.call('SET_VRING_ENABLE', { index: 0, num: 1 });
    assert.ok(frontEnd.ring(0).driver.take());
    frontEnd.close();
  });
}

/** Its driver sees shared memory. */
class SharingDevice extends RngDevice {
  readonly sharedMemory = [0, 0x20_0000];
}

test('a device shows pieces of files in its shared memory, as far as the front end lets it', () => {
  const frontEnd = new TestFrontEnd(new SharingDevice(ones));
  const { runner } = frontEnd.backEnd;
  const piece = { id: 1, offset: 4096, length: 8192, fd: frontEnd.guest.fd, fdOffset: 12288, writable: true };
  assert.equal(runner.hasSharedMemory, false);
  assert.throws(() => runner.mapShared(piece), { code: 'E_SHARED_MEMORY' });
  frontEnd.negotiateProtocol();
  assert.deepEqual(frontEnd.call('GET_SHMEM_CONFIG', undefined).slice(0, 3), [0, 0x20_0000, 0]);
  assert.equal(runner.hasSharedMemory, false);
  const [ours, theirs] = streamPair();
  const requests = new MessageChannel(ours, 1000);
  frontEnd.call('SET_BACKEND_REQ_FD', undefined, [dup(theirs.fd)]);
  theirs.close();
  assert.equal(runner.hasSharedMemory, true);

  const { SHMEM_MAP, SHMEM_UNMAP } = backEndRequests;
  const answer = (id: number, result: bigint) => requests.send(id, FLAG_REPLY, u64.encode(result));
  answer(SHMEM_MAP.id, 0n);
  runner.mapShared(piece);
  const map = requests.receive() as Message;
  const { fd: _, ...mapping } = piece;
  assert.deepEqual([map.request, map.needReply, map.fds.length], [SHMEM_MAP.id, true, 1]);
  assert.deepEqual(SHMEM_MAP.payload.decode(map.payload), mapping);
  close(map.fds[0]!);
  answer(SHMEM_UNMAP.id, 0n);
  runner.unmapShared(piece);
  const unmap = requests.receive() as Message;
  assert.deepEqual([unmap.request, unmap.fds.length], [SHMEM_UNMAP.id, 0]);
  assert.deepEqual(SHMEM_UNMAP.payload.decode(unmap.payload), { ...mapping, fdOffset: 0, writable: false });

  answer(SHMEM_MAP.id, 1n);
  assert.throws(() => runner.mapShared(piece), { code: 'E_SHARED_MEMORY', message: /refused/ });
  answer(SHMEM_UNMAP.id, 0n);
  assert.throws(() => runner.mapShared(piece), { code: 'E_SHARED_MEMORY', message: /something else/ });
  requests.close();
  assert.throws(() => runner.mapShared(piece));
  frontEnd.close();
});

test('a reset and a new driver', () => {
  const frontEnd = started();
  const features = frontEnd.call('GET_FEATURES', undefined) & ~(1n << 34n);
  assert.ok(frontEnd.request(0, { writable: [1] }));
  frontEnd.call('SET_STATUS', 0xfn);
  assert.equal(frontEnd.call('GET_STATUS', undefined), 0xfn);
  frontEnd.call('RESET_DEVICE', undefined);
  assert.equal(frontEnd.call('GET_STATUS', undefined), 0n);
  const negotiated: bigint[] = [];
  frontEnd.backEnd.runner.device.negotiated = (features) => void negotiated.push(features);
  frontEnd.call('SET_FEATURES', features);
  assert.equal(negotiated.length, 1, 'also if the new driver accepts what the last one did');
  frontEnd.startRing(0, 32, 'split');
  assert.ok(frontEnd.request(0, { writable: [1] }));
  frontEnd.close();
});

test('memory comes and goes by regions, and rings follow it', () => {
  const frontEnd = started();
  const other = new SharedGuest();
  const region = { ...other.sharedRegion, guestAddress: 0x4000_0000, userAddress: 0x1000 };
  frontEnd.call('ADD_MEM_REG', region, [other.fd]);
  assert.ok(frontEnd.request(0, { writable: [1] }));
  assert.throws(() => frontEnd.call('ADD_MEM_REG', region, [other.fd]));
  frontEnd.call('REM_MEM_REG', region);
  assert.throws(() => frontEnd.call('REM_MEM_REG', region));
  frontEnd.call('SET_MEM_TABLE', [frontEnd.guest.sharedRegion], [frontEnd.guest.fd]);
  assert.ok(frontEnd.request(0, { writable: [1] }));
  assert.deepEqual(frontEnd.complaints, []);
  frontEnd.call('SET_MEM_TABLE', [], []);
  assert.match(frontEnd.complaints[0]!, /queue 0 is broken until .*not in guest memory/);
  assert.equal(frontEnd.call('GET_STATUS', undefined), 0x40n);
  assert.equal(frontEnd.ring(0).error.clear(), 1);
  other.close();
  frontEnd.close();
});

test('a driver that breaks its queue is reported, and can start again after a reset', () => {
  const frontEnd = started();
  const [a, b] = streamPair();
  frontEnd.call('SET_BACKEND_REQ_FD', undefined, [b.fd]);
  b.close();
  (frontEnd.ring(0).driver as SplitDriver).makeAvailable(0xffff);
  frontEnd.ring(0).kick.signal();
  frontEnd.run();
  assert.equal(frontEnd.ring(0).error.clear(), 1);
  assert.equal((new MessageChannel(a, 100).receiveNext() as Message).request, 2);
  assert.equal(frontEnd.complaints.length, 1);
  assert.equal(frontEnd.request(0, { writable: [1] }), undefined);
  frontEnd.call('RESET_DEVICE', undefined);
  frontEnd.startRing(0, 32, 'split');
  assert.ok(frontEnd.request(0, { writable: [1] }));
  a.close();
  frontEnd.close();
});

test('a broken queue takes none of the others with it, and kicks for nothing cost nothing', () => {
  const device = new RngDevice(ones);
  Object.assign(device, { queueSizes: [64, 64, 64] });
  const frontEnd = started(device);
  const serves = [0, 0, 0];
  const serve = device.serve.bind(device);
  device.serve = (index, queue) => {
    serves[index]!++;
    return serve(index, queue);
  };
  (frontEnd.ring(1).driver as SplitDriver).makeAvailable(0xffff);
  frontEnd.kickAll();
  frontEnd.run();
  assert.match(frontEnd.complaints.join(), /queue 1 is broken/);
  for (const index of [0, 2]) assert.equal(frontEnd.request(index, { writable: [1] })?.data[0], 1);
  serves.fill(0);
  for (let i = 0; i < 1000; i++) frontEnd.kickAll();
  frontEnd.run();
  assert.deepEqual(serves, [1, 0, 1], 'however many kicks there were');
  assert.equal(frontEnd.complaints.length, 1);
  frontEnd.close();
});

test('a ring that the guest has put beside its memory is broken, and the connection lives', () => {
  const frontEnd = started();
  frontEnd.call('GET_VRING_BASE', { index: 0, num: 0 });
  frontEnd.call('SET_VRING_ADDR', { index: 0, flags: 0, descriptor: 0x10, available: 0x1000, used: 0x2000, log: 0 });
  frontEnd.call('SET_VRING_KICK', { index: 0, absent: false }, [frontEnd.ring(0).kick.fd]);
  assert.match(frontEnd.complaints[0]!, /descriptor table is not in guest memory/);
  assert.equal(frontEnd.call('GET_STATUS', undefined), 0x40n);
  frontEnd.close();
});

test('requests that a predecessor left are done by its successor', () => {
  const lazy = new RngDevice(ones);
  lazy.serve = (_, queue) => queue.pop({ clear() {}, addDescriptor() {} } as never);
  const frontEnd = new TestFrontEnd(lazy);
  frontEnd.call('GET_FEATURES', undefined);
  frontEnd.negotiateProtocol();
  const { reply: area, fds } = frontEnd.exchange('GET_INFLIGHT_FD', {
    mmapSize: 0,
    mmapOffset: 0,
    numQueues: 1,
    queueSize: 64,
  });
  frontEnd.start('split');
  assert.equal(frontEnd.request(0, { writable: [1] }), undefined);
  const { driver } = frontEnd.ring(0);

  const second = new TestFrontEnd(new RngDevice(ones), frontEnd.guest);
  second.negotiateProtocol();
  second.call('SET_INFLIGHT_FD', area, fds);
  second.call('SET_FEATURES', (1n << 32n) | (1n << 29n) | (1n << 30n));
  second.call('SET_MEM_TABLE', [frontEnd.guest.sharedRegion], [frontEnd.guest.fd]);
  const { descriptor, driver: available, device: used } = driver.addresses;
  second.call('SET_VRING_NUM', { index: 0, num: 64 });
  second.call('SET_VRING_ADDR', { index: 0, flags: 0, descriptor, available, used, log: 0 });
  second.call('SET_VRING_KICK', { index: 0, absent: false }, [frontEnd.ring(0).kick.fd]);
  second.call('SET_VRING_ENABLE', { index: 0, num: 1 });
  assert.equal(driver.take()?.data[0], 1);
  for (const fd of fds) close(fd);
  frontEnd.channel.close();
  frontEnd.backEnd.close();
  second.close();
});

test('the configuration space is read with zeroes behind it, and written within it', () => {
  const device = new RngDevice(ones);
  const written: [number, Uint8Array][] = [];
  Object.assign(device, {
    config: Uint8Array.of(1, 2, 3, 4),
    configWritten: (offset: number, bytes: Uint8Array) => written.push([offset, bytes]),
  });
  const frontEnd = started(device);
  const read = (offset: number, length: number) =>
    frontEnd.call('GET_CONFIG', { offset, flags: 0, bytes: new Uint8Array(length) })?.bytes;
  assert.deepEqual(read(1, 2), Uint8Array.of(2, 3));
  assert.deepEqual(read(3, 3), Uint8Array.of(4, 0, 0));
  assert.deepEqual(read(500, 2), Uint8Array.of(0, 0));
  assert.equal(read(0xffff_ffff, 8), undefined);
  frontEnd.call('SET_CONFIG', { offset: 2, flags: 0, bytes: Uint8Array.of(9, 9) });
  assert.deepEqual(written, [[2, Uint8Array.of(9, 9)]]);
  assert.throws(() => frontEnd.call('SET_CONFIG', { offset: 3, flags: 0, bytes: Uint8Array.of(9, 9) }));
  frontEnd.close();
});

test('a front end that breaks the rules is told so, and leaves nothing behind', () => {
  const before = openDescriptors();
  const frontEnd = started();
  const { fd } = frontEnd.guest;
  const shared = frontEnd.guest.sharedRegion;
  const kick = frontEnd.ring(0).kick.fd;
  const small = createMemfd('small', 4096);
  const inflight = { mmapSize: 4096, mmapOffset: 0, numQueues: 1, queueSize: 64 };
  const refused: Parameters<TestFrontEnd['call']>[] = [
    ['SET_FEATURES', 1n << 63n],
    ['SET_FEATURES', 0n],
    ['SET_PROTOCOL_FEATURES', 1n << 14n],
    ['SET_VRING_NUM', { index: 1, num: 16 }],
    ['SET_VRING_NUM', { index: 0, num: 16 }],
    ['SET_VRING_ADDR', { index: 0, flags: 0, descriptor: 0, available: 0, used: 0, log: 0 }],
    ['SET_VRING_BASE', { index: 0, num: 1 }],
    ['SET_VRING_ENABLE', { index: 0, num: 2 }],
    ['SET_VRING_ENABLE', { index: 99, num: 1 }],
    ['SET_VRING_KICK', { index: 0, absent: false }],
    ['SET_VRING_KICK', { index: 0, absent: true }, [kick]],
    ['SET_VRING_KICK', { index: 0, absent: true }],
    ['SET_VRING_KICK', { index: 9, absent: false }, [kick]],
    ['SET_VRING_KICK', { index: 0, absent: false }, [kick, kick]],
    // A file cannot be waited for.
    ['SET_VRING_KICK', { index: 0, absent: false }, [fd]],
    ['SET_MEM_TABLE', [shared], []],
    ['SET_MEM_TABLE', [shared], [fd, fd]],
    ['SET_MEM_TABLE', [shared, shared], [fd, fd]],
    ['SET_MEM_TABLE', [{ ...shared, size: 0 }], [fd]],
    ['SET_MEM_TABLE', [{ ...shared, size: shared.size + 1 }], [fd]],
    ['SET_MEM_TABLE', [{ ...shared, size: 2 ** 52 }], [fd]],
    ['SET_MEM_TABLE', [{ ...shared, mmapOffset: 4096 }], [fd]],
    ['SET_MEM_TABLE', [{ ...shared, mmapOffset: 2 ** 52 }], [fd]],
    ['SET_MEM_TABLE', [{ ...shared, guestAddress: 1 }], [fd]],
    ['SET_MEM_TABLE', [shared], [small]],
    ['SET_MEM_TABLE', [shared], [kick]],
    ['ADD_MEM_REG', shared, [fd]],
    ['ADD_MEM_REG', shared, []],
    ['SET_INFLIGHT_FD', inflight, [small]],
    ['SET_BACKEND_REQ_FD', undefined, []],
    ['SET_STATUS', 0x100n],
    ['NET_SET_MTU', 1500n],
  ];
  for (const [name, payload, fds] of refused) {
    assert.throws(() => frontEnd.call(name, payload, fds), /was refused/, `${name} ${JSON.stringify(fds)}`);
  }
  frontEnd.call('GET_VRING_BASE', { index: 0, num: 0 });
  const more: Parameters<TestFrontEnd['call']>[] = [
    ['SET_VRING_NUM', { index: 0, num: 0 }],
    ['SET_VRING_NUM', { index: 0, num: 0x8000_0000 }],
    ['SET_INFLIGHT_FD', { ...inflight, numQueues: 100 }, [small]],
    ['SET_INFLIGHT_FD', { ...inflight, mmapSize: 8192 }, [small]],
    ['SET_INFLIGHT_FD', { ...inflight, mmapOffset: 4096 }, [small]],
    ['SET_INFLIGHT_FD', { ...inflight, numQueues: 0, mmapSize: 0 }, [small]],
    ['SET_INFLIGHT_FD', inflight, []],
  ];
  for (const [name, payload, fds] of more) {
    assert.throws(() => frontEnd.call(name, payload, fds), /was refused/, `${name} ${JSON.stringify(payload)}`);
  }
  // What has an answer of its own cannot say no, so the connection ends.
  for (const queueSize of [0, 257]) {
    const ask = { mmapSize: 0, mmapOffset: 0, numQueues: 1, queueSize };
    assert.throws(() => frontEnd.call('GET_INFLIGHT_FD', ask), { code: 'E_VHOST_USER' });
  }
  assert.throws(() => frontEnd.call('GET_VRING_BASE', { index: 1, num: 0 }), { code: 'E_VHOST_USER' });
  close(small);
  frontEnd.close();
  assert.equal(openDescriptors(), before);
});
