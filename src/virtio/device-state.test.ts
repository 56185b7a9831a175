import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../disk/memory-store.ts';
import { RawDisk } from '../disk/raw.ts';
import { BalloonDevice } from './balloon/balloon-device.ts';
import { BlockDevice } from './block/block-device.ts';
import { ConsoleDevice } from './console/console-device.ts';
import type { VirtioDevice } from './device.ts';
import { decodeDeviceState, encodeDeviceState, MAX_DEVICE_STATE } from './device-state.ts';
import { NetDevice } from './net/net-device.ts';
import type { NetPort } from './net/net-port.ts';
import { RngDevice } from './rng/rng-device.ts';
import { DeviceHarness } from './testing/device-harness.ts';
import { VsockDevice } from './vsock/vsock-device.ts';

const port = (fd: number): NetPort => ({
  fd,
  receive: () => -1,
  send: () => true,
  setOffloads() {},
  setActive() {},
  close() {},
});
const noSockets = { connect: () => undefined, listenFd: 9, accept: () => undefined, close() {} };
const block = (size: number) =>
  new BlockDevice(new RawDisk(new MemoryStore('disk', new Uint8Array(size)), false), {
    ...{ blockSize: 512, sparse: true, queues: 1, id: '' },
  });
const console = () =>
  new ConsoleDevice([
    { name: 'one', isConsole: false, input: undefined, output: undefined },
    { name: 'two', isConsole: true, input: undefined, output: undefined },
  ]);

/** Devices of each type, and states that none of them may take. */
const DEVICES: Readonly<Record<string, { make: () => VirtioDevice; wrong: readonly unknown[] }>> = {
  rng: { make: () => new RngDevice(() => {}), wrong: [] },
  block: { make: () => block(4096), wrong: [{}, { size: 8192 }, { size: -1 }, { size: '4096' }] },
  net: {
    make: () => new NetDevice([port(7), port(8)], { mac: undefined, mtu: undefined, offloads: true }),
    wrong: [
      { pairs: 0, offloads: 0 },
      { pairs: 3, offloads: 0 },
      { pairs: 1.5, offloads: 0 },
      { pairs: 1, offloads: 1 },
      { pairs: 1, offloads: 2 ** 53 },
      { pairs: 1 },
    ],
  },
  balloon: {
    make: () => new BalloonDevice(() => {}, { deflateOnOom: false, pageReporting: false, size: 1 << 20 }),
    wrong: [{ target: 1 }, { target: 2 ** 32, actual: 0 }, { target: 1, actual: -1 }],
  },
  console: {
    make: console,
    wrong: [
      { ports: [], messages: [] },
      { ports: [{}, {}], messages: [] },
      { ports: [1, 2], messages: [] },
      { ports: new Array(3).fill({ open: true, written: 0 }), messages: [] },
      { ports: new Array(2).fill({ open: true, written: -1 }), messages: [] },
      { ports: new Array(2).fill({ open: true, written: 0 }), messages: [[256]] },
      { ports: new Array(2).fill({ open: true, written: 0 }), messages: [new Array(2000).fill(0)] },
      { ports: new Array(2).fill({ open: true, written: 0 }), messages: new Array(1000).fill([]) },
    ],
  },
  vsock: {
    make: () => new VsockDevice(3, noSockets as never),
    wrong: [{}, { connections: -1 }, { connections: 'many' }],
  },
};

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

for (const [type, { make, wrong }] of Object.entries(DEVICES)) {
  test(`the state of a ${type} device goes into another one, and nothing else does`, () => {
    const state = encodeDeviceState(new DeviceHarness(make(), 'split').device);
    const harness = new DeviceHarness(make(), 'split');
    const { device } = harness;
    decodeDeviceState(device, state);
    assert.deepEqual(encodeDeviceState(device), state);
    const refused = [
      ...wrong.map((value) => encode({ version: 1, type, state: value })),
      encode({ version: 2, type, state: {} }),
      encode({ version: 1, type: type === 'gpu' ? 'net' : 'gpu', state: {} }),
      ...[null, [], 3, 'text', { version: 1, type }, { version: 1, type, state: null }].map(encode),
      ...[new Uint8Array(0), state.subarray(1), state.subarray(0, -1), Uint8Array.of(0xff)],
      new Uint8Array(MAX_DEVICE_STATE + 1).fill(0x20),
      encode('['.repeat(10_000)).subarray(1, -1),
    ];
    for (const bytes of refused) {
      const text = new TextDecoder().decode(bytes).slice(0, 100);
      assert.throws(() => decodeDeviceState(device, bytes), { code: 'E_DEVICE_STATE' }, text);
      assert.deepEqual(encodeDeviceState(device), state, text);
    }
    for (let bit = 0; bit < state.length * 8; bit++) {
      const flipped = state.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      try {
        decodeDeviceState(device, flipped);
        device.reset();
      } catch (error) {
        assert.equal((error as { code: string }).code, 'E_DEVICE_STATE');
      }
    }
  });
}

test('what a network card was told counts for its successor, as far as that has negotiated it', () => {
  const told: string[] = [];
  const ports = [7, 8].map((fd) => ({
    ...port(fd),
    setActive: (on: boolean) => void told.push(`${fd} ${on}`),
    setOffloads: (offloads: { checksum: boolean }) => void told.push(`${fd} ${JSON.stringify(offloads.checksum)}`),
  }));
  let changes = 0;
  const options = { mac: undefined, mtu: undefined, offloads: true, onStateChange: () => changes++ };
  const device = new NetDevice(ports, options);
  decodeDeviceState(device, encode({ version: 1, type: 'net', state: { pairs: 2, offloads: 2 } }));
  told.length = 0;
  new DeviceHarness(device, 'split');
  assert.deepEqual(told, ['7 true', '8 true', '7 true', '8 true']);
  assert.ok(changes > 0);
  assert.deepEqual(device.saveState(), { pairs: 2, offloads: 2 });
  device.reset();
  assert.deepEqual(device.saveState(), { pairs: 1, offloads: 0 });
  // A driver that has not negotiated any of it.
  const bare = new NetDevice(ports, options);
  decodeDeviceState(bare, encode({ version: 1, type: 'net', state: { pairs: 2, offloads: 2 } }));
  new DeviceHarness(bare, 'split', 0n);
  assert.deepEqual(bare.saveState(), { pairs: 1, offloads: 0 });
});

test('a driver hears that its connections have stayed behind, once', () => {
  const device = new VsockDevice(3, noSockets as never);
  const harness = new DeviceHarness(device, 'packed');
  assert.equal(harness.tryRequest(2, { writable: [8] }), undefined);
  decodeDeviceState(device, encode({ version: 1, type: 'vsock', state: { connections: 2 } }));
  harness.kick(2);
  const told = harness.drivers[2]!.take();
  assert.deepEqual([told?.written, [...told!.data.subarray(0, 4)]], [4, [0, 0, 0, 0]]);
  assert.equal(harness.tryRequest(2, { writable: [8] }), undefined);
});
