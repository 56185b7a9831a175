import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { hammer, readReg, writeReg } from '../../devices/testing.ts';
import { BAR0, COMMAND } from '../config-space.ts';
import * as at from './layout.ts';
import { sharedMemoryBar } from './shared-memory.ts';
import { BAR, config, VirtioPciRig } from './testing/virtio-pci-rig.ts';
import { INTERRUPT_LINE, NO_INTERRUPT } from './virtio-link.ts';

let rig: VirtioPciRig;

beforeEach(() => {
  rig = new VirtioPciRig();
});

test('identity and capabilities, as a driver walks them', () => {
  assert.equal(readReg(rig.root.ecam, config(0), 4), 0x1042_1af4);
  assert.equal(readReg(rig.root.ecam, config(8), 4), 0x0180_0001);
  assert.equal(readReg(rig.root.ecam, config(0x2c), 4), 0x1042_1af4);
  const found: unknown[] = [];
  for (
    let offset = readReg(rig.root.ecam, config(0x34));
    offset !== 0;
    offset = readReg(rig.root.ecam, config(offset + 1))
  ) {
    const bytes = new Uint8Array(20);
    rig.root.ecam.read(config(offset), bytes);
    const view = new DataView(bytes.buffer);
    if (bytes[0] === 9) found.push([bytes[3], bytes[4], view.getUint32(8, true), view.getUint32(12, true)]);
    else found.push([bytes[0], view.getUint16(2, true), view.getUint32(4, true), view.getUint32(8, true)]);
  }
  assert.deepEqual(found, [
    [1, 0, 0, 0x38],
    [3, 0, 0x1000, 1],
    [4, 0, 0x2000, 0x1000],
    [2, 0, 0x3000, 0x1000],
    [5, 0, 0, 0],
    [0x11, 2, 0x6000, 0x7000],
  ]);
});

test('INTx follows the ISR register, which is cleared by reading it', () => {
  rig.startDevice();
  rig.device.queueUsed();
  rig.device.configChanged();
  assert.equal(rig.line.level, true);
  assert.equal(rig.get(at.ISR.offset, 1), at.ISR_QUEUE | at.ISR_CONFIG);
  assert.equal(rig.line.level, false);
  assert.equal(rig.get(at.ISR.offset, 1), 0);
});

test('with MSI-X each queue and the configuration have a vector', () => {
  rig.enableMsix();
  rig.negotiate();
  rig.set(at.CONFIG_MSIX_VECTOR, 0, 2);
  rig.setUpQueue(0, 128);
  rig.set(at.QUEUE_SELECT, 1, 2);
  rig.set(at.QUEUE_MSIX_VECTOR, 3, 2);
  assert.equal(rig.get(at.QUEUE_MSIX_VECTOR, 2), at.NO_VECTOR, 'there are three vectors');
  rig.driverOk();
  assert.equal(rig.started()?.[2][0]?.interrupt, 1);
  rig.device.configChanged();
  assert.deepEqual(rig.signalled, [0]);
  assert.equal(rig.line.level, false);
  rig.set(at.QUEUE_SELECT, 0, 2);
  rig.set(at.QUEUE_MSIX_VECTOR, 2, 2);
  rig.set(at.QUEUE_MSIX_VECTOR, at.NO_VECTOR, 2);
  rig.enableMsix(false);
  assert.deepEqual(rig.calls.slice(-3), [
    ['interrupt', 0, 2],
    ['interrupt', 0, NO_INTERRUPT],
    ['interrupt', 0, INTERRUPT_LINE],
  ]);
});

test('the configuration is read once, and again when it has changed', () => {
  assert.equal(rig.get(at.DEVICE_CONFIG.offset + 4, 4), 0xc7c6_c5c4);
  assert.equal(rig.get(at.DEVICE_CONFIG.offset + 8, 8), 0xcb_cac9_c8, 'zeroes behind its end');
  const reads = () => rig.calls.filter((c) => c === 'read config').length;
  assert.equal(reads(), 0, 'it was read at the start');
  const generation = rig.get(at.CONFIG_GENERATION, 1);
  rig.device.configChanged();
  assert.equal(rig.get(at.CONFIG_GENERATION, 1), generation + 1);
  rig.get(at.DEVICE_CONFIG.offset, 1);
  assert.equal(reads(), 1);
  rig.set(at.DEVICE_CONFIG.offset + 2, 0x1234, 2);
  assert.deepEqual(rig.calls.at(-1), ['write config', 2, 0x34, 0x12]);
  rig.get(at.DEVICE_CONFIG.offset, 1);
  assert.equal(reads(), 2);
  rig.set(at.DEVICE_CONFIG.offset + 11, 0x1234, 2);
  assert.equal(rig.calls.at(-1), 'read config', 'a write over the end does not happen');
});

test('a device that does not answer keeps the configuration that it had', () => {
  rig.device.configChanged();
  rig.failing = 'read config';
  assert.equal(rig.get(at.DEVICE_CONFIG.offset + 4, 4), 0xc7c6_c5c4);
  assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
});

test('doorbells follow the BAR, and ring through the bus as well', () => {
  rig.set(at.NOTIFY.offset + 4, 1, 2);
  rig.set(at.NOTIFY.offset + 8, 1, 2); // no such queue
  rig.set(at.NOTIFY.offset + 5, 1, 2); // no doorbell
  assert.deepEqual(rig.calls, [['kick', 1]]);
  writeReg(rig.root.ecam, config(BAR0), BAR + 0x1_0000, 4);
  writeReg(rig.root.ecam, config(COMMAND), 0, 2);
  assert.deepEqual(rig.calls.slice(1), [
    ['doorbells', BAR + 0x3000, BAR + 0x1_3000],
    ['doorbells', BAR + 0x1_3000, -1],
  ]);
});

test('shared memory has a BAR and capabilities, is where the BAR is, and empty after a reset', () => {
  const sizes = [0, 0x30_0000, 0, 2 ** 33];
  assert.deepEqual(sharedMemoryBar(sizes), {
    size: 2 ** 34,
    regions: [
      { id: 1, offset: 0, length: 0x30_0000 },
      { id: 3, offset: 0x40_0000, length: 2 ** 33 },
    ],
  });
  rig = new VirtioPciRig(sharedMemoryBar(sizes));
  const found: unknown[] = [];
  for (
    let offset = readReg(rig.root.ecam, config(0x34));
    offset !== 0;
    offset = readReg(rig.root.ecam, config(offset + 1))
  ) {
    const bytes = new Uint8Array(24);
    rig.root.ecam.read(config(offset), bytes);
    const view = new DataView(bytes.buffer);
    const whole = (low: number, high: number) => view.getUint32(low, true) + view.getUint32(high, true) * 2 ** 32;
    if (bytes[0] === 9 && bytes[3] === 8) found.push([...bytes.subarray(2, 6), whole(8, 16), whole(12, 20)]);
  }
  assert.deepEqual(found, [
    [24, 8, 2, 1, 0, 0x30_0000],
    [24, 8, 2, 3, 0x40_0000, 2 ** 33],
  ]);
  // 64 bits, prefetchable; and what software finds the size by.
  assert.equal(readReg(rig.root.ecam, config(0x18), 4), 0x0c);
  writeReg(rig.root.ecam, config(COMMAND), 0, 2);
  writeReg(rig.root.ecam, config(0x1c), 0xffff_ffff, 4);
  assert.equal(readReg(rig.root.ecam, config(0x1c), 4), 0xffff_fffc);
  writeReg(rig.root.ecam, config(0x1c), 8, 4);
  writeReg(rig.root.ecam, config(COMMAND), 2, 2);
  const moves = rig.calls.filter((c): c is [string, unknown] => Array.isArray(c) && c[0] === 'window');
  assert.deepEqual(moves.at(0), ['window', undefined]);
  assert.deepEqual(moves.at(-1), ['window', 0x8_0000_0000]);
  // Where nothing is mapped.
  const memory = rig.root.memoryWindow(0x8_0000_0000);
  writeReg(memory, 0, 0, 4);
  assert.equal(readReg(memory, 0, 4), 0xffff_ffff);
  rig.startDevice();
  rig.calls = [];
  rig.setStatus(0);
  assert.deepEqual(rig.calls, ['stop', 'window cleared']);
});

test('shared memory of sizes that cannot be', () => {
  assert.equal(sharedMemoryBar([0, 0]), undefined);
  for (const sizes of [[100], [4096, 4097], [-4096], [2 ** 40, 4096], [Number.NaN]]) {
    assert.throws(() => sharedMemoryBar(sizes), { code: 'E_SHARED_MEMORY' });
  }
});

test('the window in configuration space reaches all of the BAR', () => {
  const window = config(rig.device.config.capabilityOffsets[at.PCI_CFG_INDEX]!);
  const point = (target: number, length: number, barIndex = 0) => {
    writeReg(rig.root.ecam, window + at.CAP_BAR, barIndex);
    writeReg(rig.root.ecam, window + at.CAP_OFFSET, target, 4);
    writeReg(rig.root.ecam, window + at.CAP_LENGTH, length, 4);
  };
  const data = window + at.PCI_CFG_DATA;
  point(at.NUM_QUEUES, 2);
  assert.equal(readReg(rig.root.ecam, data, 2), 2);
  assert.equal(readReg(rig.root.ecam, data, 4), 0, 'another width than was announced');
  point(at.DEVICE_STATUS, 1);
  writeReg(rig.root.ecam, data, at.ACKNOWLEDGE, 1);
  assert.equal(rig.status(), at.ACKNOWLEDGE);
  for (const [target, length, barIndex] of [
    [at.VIRTIO_BAR_SIZE, 4, 0],
    [0xffff_fffc, 4, 0],
    [at.NUM_QUEUES + 1, 2, 0],
    [at.NUM_QUEUES, 2, 1],
    [at.NUM_QUEUES, 0, 0],
  ] as const) {
    point(target, length, barIndex);
    assert.equal(readReg(rig.root.ecam, data, 2), 0);
    writeReg(rig.root.ecam, data, 0xffff, 2);
  }
});

test('no access does harm', () => {
  for (const start of [0, 0xff8, 0x1ff8, 0x2ff8, 0x3ff8, 0x5ff8, 0x6ff8, 0x7ff0]) {
    hammer({ read: (o, d) => rig.bar.read(start + o, d), write: (o, d) => rig.bar.write(start + o, d) }, 80);
  }
  hammer({ read: (o, d) => rig.root.ecam.read(config(o), d), write: (o, d) => rig.root.ecam.write(config(o), d) }, 256);
});
