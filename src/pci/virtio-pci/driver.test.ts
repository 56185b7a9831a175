import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { readReg, writeReg } from '../../devices/testing.ts';
import * as at from './layout.ts';
import { BAR, PACKED, RAM, VERSION_1, VirtioPciRig } from './testing/virtio-pci-rig.ts';
import { INTERRUPT_LINE } from './virtio-link.ts';

let rig: VirtioPciRig;

beforeEach(() => {
  rig = new VirtioPciRig();
});

test('features, in halves; beyond them there are none', () => {
  const offered = [0, 1, 2, 0xffff_ffff].map((word) => {
    rig.set(at.DEVICE_FEATURE_SELECT, word, 4);
    return rig.get(at.DEVICE_FEATURE, 4);
  });
  assert.deepEqual(offered, [0x244, VERSION_1 | PACKED, 0, 0]);
  rig.set(at.DRIVER_FEATURE_SELECT, 7, 4);
  rig.set(at.DRIVER_FEATURE, 1, 4);
  assert.equal(rig.get(at.DRIVER_FEATURE, 4), 0);
});

test('features that were not offered, or a legacy driver, are refused', () => {
  for (const [low, high] of [
    [1, VERSION_1],
    [0, VERSION_1 | 8],
    [0, 0],
  ] as const) {
    rig.negotiate(low, high);
    assert.equal(rig.status(), at.ACKNOWLEDGE | at.DRIVER);
    rig.driverOk();
    assert.equal(rig.status() & at.DRIVER_OK, 0);
  }
  rig.negotiate(0x204);
  assert.equal(rig.status() & at.FEATURES_OK, at.FEATURES_OK);
  rig.set(at.DRIVER_FEATURE_SELECT, 0, 4);
  rig.set(at.DRIVER_FEATURE, 0x40, 4);
  assert.equal(rig.get(at.DRIVER_FEATURE, 4), 0x204, 'they stay as agreed');
});

test('a driver that is ready starts the device', () => {
  rig.negotiate(0x200);
  rig.setUpQueue(0, 128);
  rig.driverOk();
  const setup = { index: 0, size: 128, desc: 0x1000, driver: 0x2000, device: 0x3000, interrupt: INTERRUPT_LINE };
  assert.deepEqual(rig.started(), ['start', 0x1_0000_0200n, [setup]]);
  rig.driverOk();
  assert.equal(rig.calls.filter((c) => Array.isArray(c) && c[0] === 'start').length, 1);
});

test('a device that is gone agrees on nothing', () => {
  rig.failing = 'everything';
  rig.negotiate();
  assert.equal(rig.status(), at.ACKNOWLEDGE | at.DRIVER);
});

test('an enabled queue stays as it is', () => {
  rig.startDevice();
  for (const [register, value, width] of [
    [at.QUEUE_SIZE, 64, 2],
    [at.QUEUE_DESC, 0x8000, 4],
    [at.QUEUE_DESC, 0x8000, 8],
    [at.QUEUE_ENABLE, 0, 2],
  ] as const) {
    const before = rig.get(register, width);
    rig.set(register, value, width);
    assert.equal(rig.get(register, width), before);
  }
  rig.set(at.QUEUE_SELECT, 1, 2);
  rig.set(at.QUEUE_ENABLE, 1, 2);
  assert.equal(rig.get(at.QUEUE_ENABLE, 2), 0, 'and none comes later');
});

test('queue sizes and queues that there are not', () => {
  rig.negotiate();
  for (const size of [0, 512, 65535]) {
    rig.set(at.QUEUE_SIZE, size, 2);
    assert.equal(rig.get(at.QUEUE_SIZE, 2), 256);
  }
  rig.set(at.QUEUE_SELECT, 2, 2);
  rig.set(at.QUEUE_ENABLE, 1, 2);
  for (const [register, width] of [
    [at.QUEUE_SIZE, 2],
    [at.QUEUE_ENABLE, 2],
    [at.QUEUE_MSIX_VECTOR, 2],
    [at.QUEUE_DESC, 8],
  ] as const) {
    assert.equal(rig.get(register, width), 0);
  }
});

test('a queue cannot be enabled before the features are agreed on', () => {
  rig.setStatus(at.ACKNOWLEDGE | at.DRIVER);
  rig.set(at.QUEUE_ENABLE, 1, 2);
  assert.equal(rig.get(at.QUEUE_ENABLE, 2), 0);
});

test('rings outside of memory, misaligned, or of a wrong size: the device needs a reset and is not started', () => {
  for (const [size, desc] of [
    [128, RAM - 0x1000],
    [128, 0x1008],
    [96, 0x1000],
  ] as const) {
    rig.negotiate();
    rig.setUpQueue(0, size, desc);
    rig.driverOk();
    assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  }
  rig.negotiate();
  rig.setUpQueue(0, 16);
  rig.setStatus(0);
  assert.equal(rig.started(), undefined);
  assert.equal(rig.reports.length, 3);
});

test('a packed ring may have any number of entries', () => {
  rig.negotiate(0, VERSION_1 | PACKED);
  rig.setUpQueue(1, 33);
  rig.driverOk();
  assert.equal(rig.started()?.[2][0]?.size, 33);
});

test('reset stops the device and forgets everything; then it starts again', () => {
  rig.startDevice();
  rig.setStatus(0);
  assert.equal(rig.calls.at(-1), 'stop');
  assert.equal(rig.status(), 0);
  rig.set(at.QUEUE_SELECT, 0, 2);
  assert.deepEqual([rig.get(at.QUEUE_SIZE, 2), rig.get(at.QUEUE_ENABLE, 2), rig.get(at.QUEUE_DESC, 8)], [256, 0, 0]);
  assert.equal(rig.get(at.QUEUE_MSIX_VECTOR, 2), at.NO_VECTOR);
  rig.setStatus(0);
  assert.equal(rig.calls.filter((c) => c === 'stop').length, 1);
  rig.calls = [];
  rig.startDevice();
  assert.notEqual(rig.started(), undefined);
});

test('a status that is written twice, or with bits taken away, changes nothing', () => {
  rig.startDevice();
  const before = rig.status();
  const starts = () => rig.calls.filter((call) => Array.isArray(call) && call[0] === 'start').length;
  assert.equal(starts(), 1);
  rig.driverOk();
  rig.driverOk();
  rig.setStatus(at.ACKNOWLEDGE);
  rig.setStatus(at.ACKNOWLEDGE | at.DRIVER);
  assert.equal(rig.status(), before);
  assert.equal(starts(), 1);
  // FEATURES_OK was never agreed on.
  rig.setStatus(0);
  rig.setStatus(at.ACKNOWLEDGE | at.DRIVER | at.DRIVER_OK);
  assert.equal(rig.status() & at.DRIVER_OK, 0);
  assert.equal(starts(), 1);
});

test('a device that fails to start needs a reset, and hears nothing before it', () => {
  rig.failing = 'start';
  rig.startDevice();
  assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  assert.deepEqual(rig.reports, ['the back end does not answer']);
  assert.equal(rig.line.level, true, 'the driver hears of it');
  rig.calls = [];
  readReg(rig.bar, at.DEVICE_CONFIG.offset, 1);
  writeReg(rig.bar, at.DEVICE_CONFIG.offset, 1, 1);
  assert.deepEqual(rig.calls, []);
  rig.failing = 'stop';
  rig.setStatus(0);
  assert.equal(rig.status(), 0);
  rig.failing = undefined;
  rig.startDevice();
  assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, 0);
});

test('a device that is lost needs a reset, and says so once', () => {
  rig.startDevice();
  rig.device.deviceLost('it died');
  rig.device.deviceLost('it died');
  assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  assert.deepEqual(rig.reports, ['it died']);
});

test('another device takes the place of one that was lost, unless its driver has to know', () => {
  const adopt = () => rig.call('adopt');
  rig.startDevice();
  rig.calls = [];
  rig.device.backEndReplaced(adopt, true);
  const setup = { index: 0, size: 128, desc: 0x1000, driver: 0x2000, device: 0x3000, interrupt: INTERRUPT_LINE };
  assert.deepEqual(rig.calls, ['adopt', ['restart', 0x1_0000_0000n, [setup]]]);

  rig.device.deviceLost('it died');
  rig.device.backEndReplaced(adopt, false);
  assert.equal(rig.calls.at(-1), 'adopt');
  assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  rig.device.backEndReplaced(adopt, true);
  assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, 0);

  rig.setStatus(0);
  rig.negotiate();
  rig.device.configChanged();
  rig.failing = 'read config';
  rig.get(at.DEVICE_CONFIG.offset, 1);
  rig.setUpQueue(0, 128);
  rig.driverOk();
  rig.calls = [];
  rig.failing = undefined;
  rig.device.backEndReplaced(adopt, true);
  assert.equal((rig.calls[1] as unknown[])[0], 'restart', 'a driver that came while it was away');

  rig.failing = 'restart';
  rig.device.backEndReplaced(adopt, true);
  assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  rig.setStatus(0);
  rig.calls = [];
  rig.device.backEndReplaced(adopt, true);
  assert.deepEqual(rig.calls, ['adopt'], 'there is nothing to go on with');
});

test('a device that is away is waited for, and its driver hears nothing of it', () => {
  rig.startDevice();
  rig.device.configChanged();
  for (const what of ['read config', 'write config', 'interrupt', 'stop', 'start']) {
    rig.away = true;
    rig.failing = what;
    if (what === 'interrupt') {
      rig.enableMsix();
      rig.set(at.QUEUE_MSIX_VECTOR, 0, 2);
    } else if (what === 'stop') rig.setStatus(0);
    else if (what === 'start') rig.startDevice();
    else if (what === 'read config') readReg(rig.bar, at.DEVICE_CONFIG.offset, 1);
    else writeReg(rig.bar, at.DEVICE_CONFIG.offset, 1, 1);
    assert.equal(rig.status() & at.DEVICE_NEEDS_RESET, 0, what);
  }
  assert.deepEqual(rig.reports, []);
  rig.away = false;
  rig.failing = undefined;
  rig.calls = [];
  // Also one that could not go on where it was: its driver has rig.started it anew.
  rig.device.backEndReplaced(() => rig.call('adopt'), false);
  assert.equal((rig.calls[1] as unknown[])[0], 'restart');
});

test('a second thread sees the same device and starts nothing again', () => {
  rig.startDevice();
  const before = rig.calls.length;
  const other = rig.attach().root.memoryWindow(BAR);
  assert.equal(readReg(other, at.DEVICE_STATUS), rig.status());
  assert.equal(rig.calls.length, before);
});
