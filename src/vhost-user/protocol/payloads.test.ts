import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  config,
  configReply,
  deviceState,
  inflight,
  memoryRegion,
  memoryTable,
  nothing,
  type PayloadCodec,
  sharedMapping,
  sharedMemorySizes,
  u64,
  vringAddress,
  vringDescriptor,
  vringState,
} from './payloads.ts';

const region = { guestAddress: 0x1_0000_0000, size: 0x20_0000, userAddress: 0x7f00_1234_5000, mmapOffset: 0xc000_0000 };

function survives<T>(codec: PayloadCodec<T>, value: T, length: number): void {
  const payload = codec.encode(value);
  assert.equal(payload.length, length);
  assert.deepEqual(codec.decode(payload), value);
}

test('payloads have the sizes of the protocol and survive the wire', () => {
  survives(nothing, undefined, 0);
  survives(u64, 0xffff_ffff_ffff_fffen, 8);
  survives(vringState, { index: 3, num: 256 }, 8);
  survives(vringAddress, { index: 1, flags: 0, descriptor: 2 ** 46, used: 4096, available: 8192, log: 5 }, 40);
  survives(vringDescriptor, { index: 255, absent: false }, 8);
  survives(vringDescriptor, { index: 0, absent: true }, 8);
  survives(memoryTable, [region, { ...region, guestAddress: 0 }], 72);
  survives(memoryRegion, region, 40);
  survives(config, { offset: 8, flags: 1, bytes: Uint8Array.of(1, 2, 3) }, 15);
  survives(configReply, undefined, 0);
  survives(inflight, { mmapSize: 4096, mmapOffset: 0, numQueues: 2, queueSize: 128 }, 24);
  survives(deviceState, { direction: 1, phase: 0 }, 8);
  survives(
    sharedMemorySizes,
    Array.from({ length: 256 }, (_, id) => (id % 7) * 2 ** 40),
    2056,
  );
  const mapping = { id: 255, offset: 2 ** 33, length: 4096, fdOffset: 2 ** 50, writable: true };
  survives(sharedMapping, mapping, 40);
  survives(sharedMapping, { ...mapping, writable: false }, 40);
});

test('a row of fields lies where the protocol has it', () => {
  const bytes = [...vringState.encode({ index: 0x01020304, num: 5 })];
  assert.deepEqual(bytes, [4, 3, 2, 1, 5, 0, 0, 0]);
  const view = new DataView(memoryTable.encode([region]).buffer);
  assert.equal(view.getUint32(0, true), 1);
  assert.equal(view.getBigUint64(24, true), BigInt(region.userAddress));
});

test('other sizes are refused', () => {
  const e = { code: 'E_VHOST_USER' };
  assert.throws(() => nothing.decode(new Uint8Array(1)), e);
  assert.throws(() => u64.decode(new Uint8Array(7)), e);
  assert.throws(() => u64.decode(new Uint8Array(9)), e);
  assert.throws(() => vringAddress.decode(new Uint8Array(32)), e);
  assert.throws(() => memoryRegion.decode(new Uint8Array(32)), e);
  assert.throws(() => inflight.decode(new Uint8Array(19)), e);
  for (const size of [0, 39, 41]) assert.throws(() => sharedMapping.decode(new Uint8Array(size)), e);
  for (const size of [0, 8, 2055, 2064]) assert.throws(() => sharedMemorySizes.decode(new Uint8Array(size)), e);
  assert.throws(() => sharedMapping.decode(new Uint8Array(40).fill(0xff)), e);
  assert.throws(() => config.decode(new Uint8Array(11)), e);
  const tooShort = config.encode({ offset: 0, flags: 0, bytes: new Uint8Array(4) }).subarray(0, 15);
  assert.throws(() => config.decode(tooShort), e);
});

test('a memory table says how many regions it has, within limits', () => {
  const payload = memoryTable.encode([region]);
  const view = new DataView(payload.buffer);
  view.setUint32(0, 2, true);
  assert.throws(() => memoryTable.decode(payload), { code: 'E_VHOST_USER' });
  view.setUint32(0, 0xffff_ffff, true);
  assert.throws(() => memoryTable.decode(payload), /4294967295 regions; 8 are allowed/);
  view.setUint32(0, 0, true);
  assert.deepEqual(memoryTable.decode(payload), []);
});

test('an address that is no safe integer is refused', () => {
  const payload = memoryRegion.encode(region);
  new DataView(payload.buffer).setBigUint64(8, 2n ** 63n, true);
  assert.throws(() => memoryRegion.decode(payload), /guest address of a region, 0x8000000000000000, is impossible/);
});
