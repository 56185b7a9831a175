import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { hammer, RecordingLine, readReg, writeReg } from '../devices/testing.ts';
import { BarAllocator } from './bar-allocator.ts';
import { type BarSpec, ConfigSpace, ConfigState } from './config-space.ts';
import { HostBridge } from './host-bridge.ts';
import type { PciDevice } from './pci-device.ts';
import { PciRoot, PciRootState } from './pci-root.ts';

const WINDOW = 0xd000_0000;
const BARS: readonly BarSpec[] = [
  { index: 0, kind: 'memory32', size: 0x1000, address: WINDOW + 0x1000 },
  { index: 1, kind: 'io', size: 0x40, address: 0xc100 },
  { index: 2, kind: 'memory64', size: 0x1_0000_0000, address: 0x1_0000_0000, prefetchable: true },
];

let rootState: InstanceType<typeof PciRootState>;
let configState: InstanceType<typeof ConfigState>;
let bridgeState: InstanceType<typeof ConfigState>;
let line: RecordingLine;
let accesses: string[];
let moved: number;
let resets: number;
let root: PciRoot;
let config: ConfigSpace;

/** What one thread builds. */
function attach(): { root: PciRoot; config: ConfigSpace } {
  const space = new ConfigSpace(configState, {
    vendor: 0x1af4,
    device: 0x1042,
    revision: 1,
    classCode: 0x01_8000,
    subsystemVendor: 0x1af4,
    subsystem: 2,
    bars: BARS,
    capabilities: [
      { id: 9, body: Uint8Array.of(5, 1, 2) },
      { id: 0x11, body: Uint8Array.of(0, 0x80, 7), writeMask: Uint8Array.of(0, 0xc0, 0) },
    ],
    interrupt: { pin: 1, irq: 10, line },
  });
  const device: PciDevice = {
    config: space,
    readBar: (bar, offset, data) => {
      accesses.push(`read ${bar} ${offset} ${data.length}`);
      data.fill(0xab);
    },
    writeBar: (bar, offset, data) => accesses.push(`write ${bar} ${offset} ${data.length}`),
    barsMoved: () => moved++,
  };
  const pci = new PciRoot(rootState, () => resets++);
  pci.add(0, 0, new HostBridge(bridgeState));
  pci.add(3, 0, device);
  return { root: pci, config: space };
}

beforeEach(() => {
  rootState = new PciRootState(new SharedArrayBuffer(PciRootState.byteLength));
  configState = new ConfigState(new SharedArrayBuffer(ConfigState.byteLength));
  bridgeState = new ConfigState(new SharedArrayBuffer(ConfigState.byteLength));
  line = new RecordingLine();
  accesses = [];
  moved = 0;
  resets = 0;
  ({ root, config } = attach());
});

function select(register: number, device = 3): void {
  writeReg(root.configPorts, 0, 0x8000_0000 + (device << 11) + (register & 0xfc), 4);
}

function get(register: number, width = 4, device = 3): number {
  select(register, device);
  return readReg(root.configPorts, 4 + (register & 3), width);
}

function set(register: number, value: number, width = 4): void {
  select(register);
  writeReg(root.configPorts, 4 + (register & 3), value, width);
}

test('the header, at every width', () => {
  assert.equal(get(0), 0x1042_1af4);
  assert.equal(get(2, 2), 0x1042);
  assert.equal(get(0x0b, 1), 0x01);
  assert.equal(get(0x08), 0x0180_0001);
  assert.equal(get(0x2c), 0x0002_1af4);
  assert.equal(get(0x3c, 2), 0x010a);
  assert.equal(get(0x00, 4, 0), 0x1237_8086);
});

test('functions that are not there, and no enable bit, read as all ones', () => {
  assert.equal(get(0, 4, 4), 0xffff_ffff);
  writeReg(root.configPorts, 0, 0x0000_1800, 4);
  assert.equal(readReg(root.configPorts, 4, 4), 0xffff_ffff);
  writeReg(root.configPorts, 0, 0x8001_0000, 4);
  assert.equal(readReg(root.configPorts, 4, 4), 0xffff_ffff);
});

test('read-only registers stay', () => {
  set(0, 0xffff_ffff);
  set(8, 0xffff_ffff);
  assert.equal(get(0), 0x1042_1af4);
  assert.equal(get(8), 0x0180_0001);
  set(4, 0xffff_ffff);
  assert.equal(get(4, 2), 0x0547);
  assert.equal(get(6, 2), 0x0010);
});

test('BAR sizing and restoring', () => {
  const before = [0x10, 0x14, 0x18, 0x1c].map((r) => get(r));
  assert.deepEqual(before, [WINDOW + 0x1000, 0xc101, 0x0000_000c, 1]);
  for (const register of [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24]) set(register, 0xffff_ffff);
  assert.deepEqual(
    [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map((r) => get(r)),
    [0xffff_f000, 0xffff_ffc1, 0x0000_000c, 0xffff_ffff, 0, 0],
  );
});

test('BARs are routed, relocated and disabled, on every thread', () => {
  const window = root.memoryWindow(WINDOW);
  const other = attach().root.memoryWindow(WINDOW);
  assert.equal(readReg(window, 0x1010, 4), 0xabab_abab);
  assert.equal(readReg(other, 0x1ffc, 4), 0xabab_abab);
  set(0x10, WINDOW + 0x8000);
  assert.equal(moved, 1);
  assert.equal(readReg(other, 0x1010, 4), 0xffff_ffff);
  writeReg(other, 0x8004, 1, 2);
  set(4, 0x0001, 2);
  assert.equal(readReg(window, 0x8010, 4), 0xffff_ffff);
  assert.deepEqual(accesses, ['read 0 16 4', 'read 0 4092 4', 'write 0 4 2']);
});

test('accesses over the end of a BAR do not reach the device', () => {
  const window = root.memoryWindow(WINDOW);
  assert.equal(readReg(window, 0x1ffe, 4), 0xffff_ffff);
  writeReg(window, 0x1fff, 0, 8);
  assert.equal(readReg(window, 0xffe, 4), 0xffff_ffff);
  assert.deepEqual(accesses, []);
});

test('I/O and 64-bit BARs', () => {
  readReg(root.portWindow(0xc100), 0x3f);
  readReg(root.memoryWindow(0x1_0000_0000), 0xffff_fff8, 8);
  assert.deepEqual(accesses, ['read 1 63 1', 'read 2 4294967288 8']);
  set(0x1c, 0xffff_ffff);
  assert.equal(config.barAddress(BARS[2]!), -1);
});

test('capabilities form a list and keep their read-only bits', () => {
  const first = get(0x34, 1);
  assert.deepEqual(config.capabilityOffsets, [0x40, 0x48]);
  assert.equal(first, 0x40);
  assert.equal(get(0x40), 0x0105_4809);
  assert.equal(get(0x48), 0x8000_0011);
  set(0x48, 0xffff_ffff);
  assert.equal(get(0x48), 0xc000_0011);
  assert.equal(get(0x4c), 7);
});

test('INTx follows the device, its status bit and the disable bit', () => {
  config.setInterrupt(true);
  assert.equal(line.level, true);
  assert.equal(get(6, 2) & 8, 8);
  set(4, 0x0407, 2);
  assert.equal(line.level, false);
  assert.equal(get(6, 2) & 8, 8);
  set(4, 0x0007, 2);
  assert.equal(line.level, true);
  config.setInterrupt(false);
  assert.equal(line.level, false);
});

test('ECAM sees the same, and its own 4 KiB', () => {
  const at = (3 << 15) + 0;
  assert.equal(readReg(root.ecam, at, 4), 0x1042_1af4);
  writeReg(root.ecam, at + 0x3c, 0x42);
  assert.equal(get(0x3c, 1), 0x42);
  assert.equal(readReg(root.ecam, at + 0x100, 4), 0xffff_ffff);
  assert.equal(readReg(root.ecam, at + 0xffe, 4), 0xffff_ffff);
  assert.equal(readReg(root.ecam, 1 << 20, 4), 0xffff_ffff);
});

test('the host bridge says where the ECAM is', () => {
  assert.equal(get(0x60, 4, 0), 0xf400_0001);
  assert.equal(get(0x64, 4, 0), 0);
  assert.equal(get(0x63, 1, 0), 0xf4);
});

test('0xcf9 resets and does not disturb the address', () => {
  select(0);
  writeReg(root.configPorts, 1, 0x02);
  assert.equal(resets, 0);
  assert.equal(readReg(root.configPorts, 1), 0x02);
  writeReg(root.configPorts, 1, 0x06);
  assert.equal(resets, 1);
  assert.equal(readReg(root.configPorts, 0, 4), 0x8000_1800);
});

test('a device may answer for its own registers', () => {
  const seen: number[] = [];
  const device: PciDevice = {
    config,
    readBar: () => {},
    writeBar: () => {},
    readConfig: (register, data) => register === 0x80 && data.fill(7).length > 0,
    writeConfig: (register) => seen.push(register) > 0,
  };
  root.add(4, 1, device);
  writeReg(root.configPorts, 0, 0x8000_2180, 4);
  assert.equal(readReg(root.configPorts, 4, 4), 0x0707_0707);
  writeReg(root.configPorts, 4, 0, 1);
  assert.deepEqual(seen, [0x80]);
});

test('machines that are built wrong are refused', () => {
  assert.throws(() => root.add(3, 0, new HostBridge(bridgeState)), RangeError);
  assert.throws(() => root.add(32, 0, new HostBridge(bridgeState)), RangeError);
  const spec = { vendor: 1, device: 1, classCode: 0 };
  const state = new ConfigState(new SharedArrayBuffer(ConfigState.byteLength));
  for (const bar of [
    { index: 6, kind: 'memory32', size: 16, address: 0 },
    { index: 5, kind: 'memory64', size: 16, address: 0 },
    { index: 0, kind: 'memory32', size: 24, address: 0 },
    { index: 0, kind: 'memory32', size: 8, address: 0 },
    { index: 0, kind: 'memory32', size: 0x1000, address: 0x800 },
  ] as const) {
    assert.throws(() => new ConfigSpace(state, { ...spec, bars: [bar] }), RangeError);
  }
  const capabilities = [{ id: 9, body: new Uint8Array(200) }];
  assert.throws(() => new ConfigSpace(state, { ...spec, capabilities }), { code: 'E_PCI_CAPABILITIES' });
});

test('the allocator aligns and ends', () => {
  const allocator = new BarAllocator(0x1000, 0x4000, 'the window');
  assert.equal(allocator.allocate(16), 0x1000);
  assert.equal(allocator.allocate(0x1000), 0x2000);
  assert.throws(() => allocator.allocate(0x2000), { code: 'E_PCI_WINDOW_FULL' });
  assert.throws(() => allocator.allocate(0), { code: 'E_PCI_WINDOW_FULL' });
});

test('no access does harm', () => {
  for (const register of [0, 4, 0x10, 0x3c, 0xfc]) {
    select(register);
    hammer(root.configPorts, 10);
  }
  for (let at = 3 << 15; at < (3 << 15) + 0x110; at++) writeReg(root.ecam, at, 0xffff_ffff, 4);
  hammer(root.memoryWindow(WINDOW), 16);
});
