import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { BusDevice } from '../../devices/bus.ts';
import { hammer, RecordingLine, readReg, writeReg } from '../../devices/testing.ts';
import { CrosvmError } from '../../errors.ts';
import { BAR0, COMMAND, ConfigState } from '../config-space.ts';
import { MsixState } from '../msix.ts';
import { PciRoot, PciRootState } from '../pci-root.ts';
import * as at from './layout.ts';
import { type SharedMemoryBar, sharedMemoryBar } from './shared-memory.ts';
import { IsrState } from './virtio-interrupts.ts';
import { INTERRUPT_LINE, NO_INTERRUPT, type QueueSetup, type VirtioLink } from './virtio-link.ts';
import { VirtioPci, type VirtioPciDeps, type VirtioPciSpec, type VirtioPciStates } from './virtio-pci.ts';
import { VirtioPciState } from './virtio-pci-state.ts';

const BAR = 0xd000_0000;
const SHARED_BAR = 0x4_0000_0000;
const SLOT = 3;
const RAM = 0x10_0000;
/** In the high half of the features. */
const VERSION_1 = 1;
const PACKED = 4;
const SPEC: VirtioPciSpec = {
  type: 2,
  classCode: 0x01_8000,
  features: 0x5_0000_0244n,
  maxQueueSizes: [256, 64],
  configSize: 12,
};

let calls: unknown[];
let failing: string | undefined;
let away: boolean;
let reports: string[];
let line: RecordingLine;
let signalled: number[];
let root: PciRoot;
let device: VirtioPci;
let bar: BusDevice;
let attach: () => { root: PciRoot; device: VirtioPci };

const link: VirtioLink = {
  isGone: () => failing === 'everything',
  isAway: () => away,
  start: (features, queues) => call('start', features, queues),
  restart: (features, queues) => call('restart', features, queues),
  stop: () => call('stop'),
  setInterrupt: (queue, interrupt) => call('interrupt', queue, interrupt),
  readConfig: (config) => {
    call('read config');
    for (let i = 0; i < config.length; i++) config[i] = 0xc0 + i;
  },
  writeConfig: (offset, data) => call('write config', offset, ...data),
  kick: (queue) => call('kick', queue),
  moveDoorbells: (from, to) => call('doorbells', from, to),
};

function call(...what: unknown[]): void {
  calls.push(what.length === 1 ? what[0] : what);
  if (failing === what[0]) throw new CrosvmError('E_VHOST_USER', 'the back end does not answer');
}

/** Another machine with a device that was never touched; what a thread attaches by. */
function machine(sharedMemory?: SharedMemoryBar): typeof attach {
  const shared = <T>(struct: { byteLength: number; new (buffer: SharedArrayBuffer): T }) =>
    new struct(new SharedArrayBuffer(struct.byteLength));
  const rootState = shared(PciRootState);
  const states: VirtioPciStates = {
    pci: shared(ConfigState),
    msix: shared(MsixState),
    isr: shared(IsrState),
    virtio: shared(VirtioPciState),
  };
  const deps: VirtioPciDeps = {
    address: BAR,
    sharedMemoryAddress: sharedMemory && SHARED_BAR,
    window: sharedMemory && {
      moveTo: (address) => call('window', address),
      clear: () => call('window cleared'),
    },
    interrupt: { pin: 1, irq: 10, line },
    link,
    msix: {
      connect: () => {},
      disconnect: () => {},
      isPending: () => false,
      signal: (vector) => signalled.push(vector),
    },
    isRam: (address, length) => address >= 0 && address + length <= RAM,
    report: (reason) => reports.push(reason),
  };
  return () => {
    const made = new VirtioPci(states, { ...SPEC, sharedMemory }, deps);
    const pci = new PciRoot(rootState, () => {});
    pci.add(SLOT, 0, made);
    return { root: pci, device: made };
  };
}

beforeEach(() => {
  calls = [];
  failing = undefined;
  away = false;
  reports = [];
  signalled = [];
  line = new RecordingLine();
  attach = machine();
  ({ root, device } = attach());
  assert.deepEqual(calls.splice(0), [['doorbells', -1, BAR + 0x3000], 'read config']);
  bar = root.memoryWindow(BAR);
});

const config = (register: number) => (SLOT << 15) + register;
const get = (register: number, width: number) => readReg(bar, register, width);
const set = (register: number, value: number, width: number) => writeReg(bar, register, value, width);
const status = () => get(at.DEVICE_STATUS, 1);
const setStatus = (value: number) => set(at.DEVICE_STATUS, value, 1);

function negotiate(low = 0, high = VERSION_1): void {
  setStatus(0);
  setStatus(at.ACKNOWLEDGE);
  setStatus(at.ACKNOWLEDGE | at.DRIVER);
  for (const [i, word] of [low, high].entries()) {
    set(at.DRIVER_FEATURE_SELECT, i, 4);
    set(at.DRIVER_FEATURE, word, 4);
  }
  setStatus(at.ACKNOWLEDGE | at.DRIVER | at.FEATURES_OK);
}

function setUpQueue(queue: number, size: number, desc = 0x1000): void {
  set(at.QUEUE_SELECT, queue, 2);
  set(at.QUEUE_SIZE, size, 2);
  set(at.QUEUE_MSIX_VECTOR, queue + 1, 2);
  for (const [register, address] of [
    [at.QUEUE_DESC, desc],
    [at.QUEUE_DRIVER, desc + 0x1000],
    [at.QUEUE_DEVICE, desc + 0x2000],
  ] as const) {
    set(register, address, 4);
    set(register + 4, 0, 4);
  }
  set(at.QUEUE_ENABLE, 1, 2);
}

const driverOk = () => setStatus(status() | at.DRIVER_OK);

function startDevice(): void {
  negotiate();
  setUpQueue(0, 128);
  driverOk();
}

function enableMsix(on = true): void {
  writeReg(root.ecam, config(COMMAND), 0x0006, 2);
  const offset = device.config.capabilityOffsets[at.MSIX_INDEX]!;
  writeReg(root.ecam, config(offset + 2), on ? 0x8000 : 0, 2);
}

const started = () => calls.find((c): c is [string, unknown, QueueSetup[]] => Array.isArray(c) && c[0] === 'start');

test('identity and capabilities, as a driver walks them', () => {
  assert.equal(readReg(root.ecam, config(0), 4), 0x1042_1af4);
  assert.equal(readReg(root.ecam, config(8), 4), 0x0180_0001);
  assert.equal(readReg(root.ecam, config(0x2c), 4), 0x1042_1af4);
  const found: unknown[] = [];
  for (let offset = readReg(root.ecam, config(0x34)); offset !== 0; offset = readReg(root.ecam, config(offset + 1))) {
    const bytes = new Uint8Array(20);
    root.ecam.read(config(offset), bytes);
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

test('features, in halves; beyond them there are none', () => {
  const offered = [0, 1, 2, 0xffff_ffff].map((word) => {
    set(at.DEVICE_FEATURE_SELECT, word, 4);
    return get(at.DEVICE_FEATURE, 4);
  });
  assert.deepEqual(offered, [0x244, VERSION_1 | PACKED, 0, 0]);
  set(at.DRIVER_FEATURE_SELECT, 7, 4);
  set(at.DRIVER_FEATURE, 1, 4);
  assert.equal(get(at.DRIVER_FEATURE, 4), 0);
});

test('features that were not offered, or a legacy driver, are refused', () => {
  for (const [low, high] of [
    [1, VERSION_1],
    [0, VERSION_1 | 8],
    [0, 0],
  ] as const) {
    negotiate(low, high);
    assert.equal(status(), at.ACKNOWLEDGE | at.DRIVER);
    driverOk();
    assert.equal(status() & at.DRIVER_OK, 0);
  }
  negotiate(0x204);
  assert.equal(status() & at.FEATURES_OK, at.FEATURES_OK);
  set(at.DRIVER_FEATURE_SELECT, 0, 4);
  set(at.DRIVER_FEATURE, 0x40, 4);
  assert.equal(get(at.DRIVER_FEATURE, 4), 0x204, 'they stay as agreed');
});

test('a driver that is ready starts the device', () => {
  negotiate(0x200);
  setUpQueue(0, 128);
  driverOk();
  const setup = { index: 0, size: 128, desc: 0x1000, driver: 0x2000, device: 0x3000, interrupt: INTERRUPT_LINE };
  assert.deepEqual(started(), ['start', 0x1_0000_0200n, [setup]]);
  driverOk();
  assert.equal(calls.filter((c) => Array.isArray(c) && c[0] === 'start').length, 1);
});

test('a device that is gone agrees on nothing', () => {
  failing = 'everything';
  negotiate();
  assert.equal(status(), at.ACKNOWLEDGE | at.DRIVER);
});

test('an enabled queue stays as it is', () => {
  startDevice();
  for (const [register, value, width] of [
    [at.QUEUE_SIZE, 64, 2],
    [at.QUEUE_DESC, 0x8000, 4],
    [at.QUEUE_DESC, 0x8000, 8],
    [at.QUEUE_ENABLE, 0, 2],
  ] as const) {
    const before = get(register, width);
    set(register, value, width);
    assert.equal(get(register, width), before);
  }
  set(at.QUEUE_SELECT, 1, 2);
  set(at.QUEUE_ENABLE, 1, 2);
  assert.equal(get(at.QUEUE_ENABLE, 2), 0, 'and none comes later');
});

test('queue sizes and queues that there are not', () => {
  negotiate();
  for (const size of [0, 512, 65535]) {
    set(at.QUEUE_SIZE, size, 2);
    assert.equal(get(at.QUEUE_SIZE, 2), 256);
  }
  set(at.QUEUE_SELECT, 2, 2);
  set(at.QUEUE_ENABLE, 1, 2);
  for (const [register, width] of [
    [at.QUEUE_SIZE, 2],
    [at.QUEUE_ENABLE, 2],
    [at.QUEUE_MSIX_VECTOR, 2],
    [at.QUEUE_DESC, 8],
  ] as const) {
    assert.equal(get(register, width), 0);
  }
});

test('a queue cannot be enabled before the features are agreed on', () => {
  setStatus(at.ACKNOWLEDGE | at.DRIVER);
  set(at.QUEUE_ENABLE, 1, 2);
  assert.equal(get(at.QUEUE_ENABLE, 2), 0);
});

test('rings outside of memory, misaligned, or of a wrong size: the device needs a reset and is not started', () => {
  for (const [size, desc] of [
    [128, RAM - 0x1000],
    [128, 0x1008],
    [96, 0x1000],
  ] as const) {
    negotiate();
    setUpQueue(0, size, desc);
    driverOk();
    assert.equal(status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  }
  negotiate();
  setUpQueue(0, 16);
  setStatus(0);
  assert.equal(started(), undefined);
  assert.equal(reports.length, 3);
});

test('a packed ring may have any number of entries', () => {
  negotiate(0, VERSION_1 | PACKED);
  setUpQueue(1, 33);
  driverOk();
  assert.equal(started()?.[2][0]?.size, 33);
});

test('reset stops the device and forgets everything; then it starts again', () => {
  startDevice();
  setStatus(0);
  assert.equal(calls.at(-1), 'stop');
  assert.equal(status(), 0);
  set(at.QUEUE_SELECT, 0, 2);
  assert.deepEqual([get(at.QUEUE_SIZE, 2), get(at.QUEUE_ENABLE, 2), get(at.QUEUE_DESC, 8)], [256, 0, 0]);
  assert.equal(get(at.QUEUE_MSIX_VECTOR, 2), at.NO_VECTOR);
  setStatus(0);
  assert.equal(calls.filter((c) => c === 'stop').length, 1);
  calls = [];
  startDevice();
  assert.notEqual(started(), undefined);
});

test('a status that is written twice, or with bits taken away, changes nothing', () => {
  startDevice();
  const before = status();
  const starts = () => calls.filter((call) => Array.isArray(call) && call[0] === 'start').length;
  assert.equal(starts(), 1);
  driverOk();
  driverOk();
  setStatus(at.ACKNOWLEDGE);
  setStatus(at.ACKNOWLEDGE | at.DRIVER);
  assert.equal(status(), before);
  assert.equal(starts(), 1);
  // FEATURES_OK was never agreed on.
  setStatus(0);
  setStatus(at.ACKNOWLEDGE | at.DRIVER | at.DRIVER_OK);
  assert.equal(status() & at.DRIVER_OK, 0);
  assert.equal(starts(), 1);
});

test('a device that fails to start needs a reset, and hears nothing before it', () => {
  failing = 'start';
  startDevice();
  assert.equal(status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  assert.deepEqual(reports, ['the back end does not answer']);
  assert.equal(line.level, true, 'the driver hears of it');
  calls = [];
  readReg(bar, at.DEVICE_CONFIG.offset, 1);
  writeReg(bar, at.DEVICE_CONFIG.offset, 1, 1);
  assert.deepEqual(calls, []);
  failing = 'stop';
  setStatus(0);
  assert.equal(status(), 0);
  failing = undefined;
  startDevice();
  assert.equal(status() & at.DEVICE_NEEDS_RESET, 0);
});

test('a device that is lost needs a reset, and says so once', () => {
  startDevice();
  device.deviceLost('it died');
  device.deviceLost('it died');
  assert.equal(status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  assert.deepEqual(reports, ['it died']);
});

test('another device takes the place of one that was lost, unless its driver has to know', () => {
  const adopt = () => call('adopt');
  startDevice();
  calls = [];
  device.backEndReplaced(adopt, true);
  const setup = { index: 0, size: 128, desc: 0x1000, driver: 0x2000, device: 0x3000, interrupt: INTERRUPT_LINE };
  assert.deepEqual(calls, ['adopt', ['restart', 0x1_0000_0000n, [setup]]]);

  device.deviceLost('it died');
  device.backEndReplaced(adopt, false);
  assert.equal(calls.at(-1), 'adopt');
  assert.equal(status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  device.backEndReplaced(adopt, true);
  assert.equal(status() & at.DEVICE_NEEDS_RESET, 0);

  setStatus(0);
  negotiate();
  device.configChanged();
  failing = 'read config';
  get(at.DEVICE_CONFIG.offset, 1);
  setUpQueue(0, 128);
  driverOk();
  calls = [];
  failing = undefined;
  device.backEndReplaced(adopt, true);
  assert.equal((calls[1] as unknown[])[0], 'restart', 'a driver that came while it was away');

  failing = 'restart';
  device.backEndReplaced(adopt, true);
  assert.equal(status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
  setStatus(0);
  calls = [];
  device.backEndReplaced(adopt, true);
  assert.deepEqual(calls, ['adopt'], 'there is nothing to go on with');
});

test('a device that is away is waited for, and its driver hears nothing of it', () => {
  startDevice();
  device.configChanged();
  for (const what of ['read config', 'write config', 'interrupt', 'stop', 'start']) {
    away = true;
    failing = what;
    if (what === 'interrupt') {
      enableMsix();
      set(at.QUEUE_MSIX_VECTOR, 0, 2);
    } else if (what === 'stop') setStatus(0);
    else if (what === 'start') startDevice();
    else if (what === 'read config') readReg(bar, at.DEVICE_CONFIG.offset, 1);
    else writeReg(bar, at.DEVICE_CONFIG.offset, 1, 1);
    assert.equal(status() & at.DEVICE_NEEDS_RESET, 0, what);
  }
  assert.deepEqual(reports, []);
  away = false;
  failing = undefined;
  calls = [];
  // Also one that could not go on where it was: its driver has started it anew.
  device.backEndReplaced(() => call('adopt'), false);
  assert.equal((calls[1] as unknown[])[0], 'restart');
});

test('INTx follows the ISR register, which is cleared by reading it', () => {
  startDevice();
  device.queueUsed();
  device.configChanged();
  assert.equal(line.level, true);
  assert.equal(get(at.ISR.offset, 1), at.ISR_QUEUE | at.ISR_CONFIG);
  assert.equal(line.level, false);
  assert.equal(get(at.ISR.offset, 1), 0);
});

test('with MSI-X each queue and the configuration have a vector', () => {
  enableMsix();
  negotiate();
  set(at.CONFIG_MSIX_VECTOR, 0, 2);
  setUpQueue(0, 128);
  set(at.QUEUE_SELECT, 1, 2);
  set(at.QUEUE_MSIX_VECTOR, 3, 2);
  assert.equal(get(at.QUEUE_MSIX_VECTOR, 2), at.NO_VECTOR, 'there are three vectors');
  driverOk();
  assert.equal(started()?.[2][0]?.interrupt, 1);
  device.configChanged();
  assert.deepEqual(signalled, [0]);
  assert.equal(line.level, false);
  set(at.QUEUE_SELECT, 0, 2);
  set(at.QUEUE_MSIX_VECTOR, 2, 2);
  set(at.QUEUE_MSIX_VECTOR, at.NO_VECTOR, 2);
  enableMsix(false);
  assert.deepEqual(calls.slice(-3), [
    ['interrupt', 0, 2],
    ['interrupt', 0, NO_INTERRUPT],
    ['interrupt', 0, INTERRUPT_LINE],
  ]);
});

test('the configuration is read once, and again when it has changed', () => {
  assert.equal(get(at.DEVICE_CONFIG.offset + 4, 4), 0xc7c6_c5c4);
  assert.equal(get(at.DEVICE_CONFIG.offset + 8, 8), 0xcb_cac9_c8, 'zeroes behind its end');
  const reads = () => calls.filter((c) => c === 'read config').length;
  assert.equal(reads(), 0, 'it was read at the start');
  const generation = get(at.CONFIG_GENERATION, 1);
  device.configChanged();
  assert.equal(get(at.CONFIG_GENERATION, 1), generation + 1);
  get(at.DEVICE_CONFIG.offset, 1);
  assert.equal(reads(), 1);
  set(at.DEVICE_CONFIG.offset + 2, 0x1234, 2);
  assert.deepEqual(calls.at(-1), ['write config', 2, 0x34, 0x12]);
  get(at.DEVICE_CONFIG.offset, 1);
  assert.equal(reads(), 2);
  set(at.DEVICE_CONFIG.offset + 11, 0x1234, 2);
  assert.equal(calls.at(-1), 'read config', 'a write over the end does not happen');
});

test('a device that does not answer keeps the configuration that it had', () => {
  device.configChanged();
  failing = 'read config';
  assert.equal(get(at.DEVICE_CONFIG.offset + 4, 4), 0xc7c6_c5c4);
  assert.equal(status() & at.DEVICE_NEEDS_RESET, at.DEVICE_NEEDS_RESET);
});

test('doorbells follow the BAR, and ring through the bus as well', () => {
  set(at.NOTIFY.offset + 4, 1, 2);
  set(at.NOTIFY.offset + 8, 1, 2); // no such queue
  set(at.NOTIFY.offset + 5, 1, 2); // no doorbell
  assert.deepEqual(calls, [['kick', 1]]);
  writeReg(root.ecam, config(BAR0), BAR + 0x1_0000, 4);
  writeReg(root.ecam, config(COMMAND), 0, 2);
  assert.deepEqual(calls.slice(1), [
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
  ({ root } = machine(sharedMemoryBar(sizes))());
  assert.deepEqual(calls.splice(0), [['doorbells', -1, BAR + 0x3000], ['window', SHARED_BAR], 'read config']);
  const found: unknown[] = [];
  for (let offset = readReg(root.ecam, config(0x34)); offset !== 0; offset = readReg(root.ecam, config(offset + 1))) {
    const bytes = new Uint8Array(24);
    root.ecam.read(config(offset), bytes);
    const view = new DataView(bytes.buffer);
    const whole = (low: number, high: number) => view.getUint32(low, true) + view.getUint32(high, true) * 2 ** 32;
    if (bytes[0] === 9 && bytes[3] === 8) found.push([...bytes.subarray(2, 6), whole(8, 16), whole(12, 20)]);
  }
  assert.deepEqual(found, [
    [24, 8, 2, 1, 0, 0x30_0000],
    [24, 8, 2, 3, 0x40_0000, 2 ** 33],
  ]);
  // 64 bits, prefetchable; and what software finds the size by.
  assert.equal(readReg(root.ecam, config(0x18), 4), 0x0c);
  writeReg(root.ecam, config(COMMAND), 0, 2);
  writeReg(root.ecam, config(0x1c), 0xffff_ffff, 4);
  assert.equal(readReg(root.ecam, config(0x1c), 4), 0xffff_fffc);
  writeReg(root.ecam, config(0x1c), 8, 4);
  writeReg(root.ecam, config(COMMAND), 2, 2);
  const moves = calls.filter((c): c is [string, unknown] => Array.isArray(c) && c[0] === 'window');
  assert.deepEqual(moves.at(0), ['window', undefined]);
  assert.deepEqual(moves.at(-1), ['window', 0x8_0000_0000]);
  // Where nothing is mapped.
  const memory = root.memoryWindow(0x8_0000_0000);
  writeReg(memory, 0, 0, 4);
  assert.equal(readReg(memory, 0, 4), 0xffff_ffff);
  bar = root.memoryWindow(BAR);
  startDevice();
  calls = [];
  setStatus(0);
  assert.deepEqual(calls, ['stop', 'window cleared']);
});

test('shared memory of sizes that cannot be', () => {
  assert.equal(sharedMemoryBar([0, 0]), undefined);
  for (const sizes of [[100], [4096, 4097], [-4096], [2 ** 40, 4096], [Number.NaN]]) {
    assert.throws(() => sharedMemoryBar(sizes), { code: 'E_SHARED_MEMORY' });
  }
});

test('a second thread sees the same device and starts nothing again', () => {
  startDevice();
  const before = calls.length;
  const other = attach().root.memoryWindow(BAR);
  assert.equal(readReg(other, at.DEVICE_STATUS), status());
  assert.equal(calls.length, before);
});

test('the window in configuration space reaches all of the BAR', () => {
  const window = config(device.config.capabilityOffsets[at.PCI_CFG_INDEX]!);
  const point = (target: number, length: number, barIndex = 0) => {
    writeReg(root.ecam, window + at.CAP_BAR, barIndex);
    writeReg(root.ecam, window + at.CAP_OFFSET, target, 4);
    writeReg(root.ecam, window + at.CAP_LENGTH, length, 4);
  };
  const data = window + at.PCI_CFG_DATA;
  point(at.NUM_QUEUES, 2);
  assert.equal(readReg(root.ecam, data, 2), 2);
  assert.equal(readReg(root.ecam, data, 4), 0, 'another width than was announced');
  point(at.DEVICE_STATUS, 1);
  writeReg(root.ecam, data, at.ACKNOWLEDGE, 1);
  assert.equal(status(), at.ACKNOWLEDGE);
  for (const [target, length, barIndex] of [
    [at.VIRTIO_BAR_SIZE, 4, 0],
    [0xffff_fffc, 4, 0],
    [at.NUM_QUEUES + 1, 2, 0],
    [at.NUM_QUEUES, 2, 1],
    [at.NUM_QUEUES, 0, 0],
  ] as const) {
    point(target, length, barIndex);
    assert.equal(readReg(root.ecam, data, 2), 0);
    writeReg(root.ecam, data, 0xffff, 2);
  }
});

test('no access does harm', () => {
  for (const start of [0, 0xff8, 0x1ff8, 0x2ff8, 0x3ff8, 0x5ff8, 0x6ff8, 0x7ff0]) {
    hammer({ read: (o, d) => bar.read(start + o, d), write: (o, d) => bar.write(start + o, d) }, 80);
  }
  hammer({ read: (o, d) => root.ecam.read(config(o), d), write: (o, d) => root.ecam.write(config(o), d) }, 256);
});
