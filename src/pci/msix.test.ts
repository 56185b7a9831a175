import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { hammer, readReg, writeReg } from '../devices/testing.ts';
import { ConfigSpace, ConfigState } from './config-space.ts';
import { Msix, type MsixSources, MsixState, msixCapability } from './msix.ts';

const VECTORS = 10;
const ENABLED = 0x8000;
const FUNCTION_MASKED = 0xc000;
const BUS_MASTER = 4;

/** Sources that are signalled by hand, and remember messages as eventfds and irqfds do. */
class FakeSources implements MsixSources {
  readonly sent: string[] = [];
  readonly pending = new Set<number>();
  readonly connected = new Map<number, string>();

  connect(vector: number, address: number, data: number): void {
    assert.ok(!this.connected.has(vector), 'connected twice');
    this.connected.set(vector, `${address.toString(16)}:${data}`);
    if (this.pending.delete(vector)) this.signal(vector);
  }

  disconnect(vector: number): void {
    assert.ok(this.connected.delete(vector), 'disconnected twice');
  }

  isPending(vector: number): boolean {
    return this.pending.has(vector);
  }

  signal(vector: number): void {
    const message = this.connected.get(vector);
    if (message === undefined) this.pending.add(vector);
    else this.sent.push(message);
  }
}

let sources: FakeSources;
let config: ConfigSpace;
let msix: Msix;
let attach: () => Msix;
let table: { read(offset: number, data: Uint8Array): void; write(offset: number, data: Uint8Array): void };

beforeEach(() => {
  sources = new FakeSources();
  const configState = new ConfigState(new SharedArrayBuffer(ConfigState.byteLength));
  const state = new MsixState(new SharedArrayBuffer(MsixState.byteLength));
  attach = () => {
    const capability = msixCapability(VECTORS, { bar: 0, offset: 0x6000 }, { bar: 0, offset: 0x7000 });
    config = new ConfigSpace(configState, { vendor: 1, device: 2, classCode: 0, capabilities: [capability] });
    return new Msix(state, config, config.capabilityOffsets[0]!, VECTORS, sources);
  };
  msix = attach();
  table = { read: (at, data) => msix.readTable(at, data), write: (at, data) => msix.writeTable(at, data) };
  setConfig(0x04, BUS_MASTER);
});

function setConfig(register: number, value: number): void {
  config.write(register, Uint8Array.of(value, value >> 8));
  msix.update();
}

function setControl(value: number): void {
  setConfig(0x42, value);
}

function program(vector: number, data: number, control = 0): void {
  writeReg(table, vector * 16, 0xfee0_1000, 4);
  writeReg(table, vector * 16 + 4, 0, 4);
  writeReg(table, vector * 16 + 8, data, 4);
  writeReg(table, vector * 16 + 12, control, 4);
}

test('the capability says how many vectors there are, and where', () => {
  const bytes = new Uint8Array(12);
  config.read(0x40, bytes);
  assert.deepEqual([...bytes], [0x11, 0, VECTORS - 1, 0, 0x00, 0x60, 0, 0, 0x00, 0x70, 0, 0]);
});

test('vectors are masked after reset', () => {
  setControl(ENABLED);
  assert.equal(readReg(table, 12, 4), 1);
  assert.deepEqual([...sources.connected], []);
});

test('a vector sends when the function and it are enabled, and the device may write to memory', () => {
  program(3, 0x41);
  sources.signal(3);
  assert.deepEqual(sources.sent, []);
  setConfig(0x04, 0);
  setControl(ENABLED);
  assert.deepEqual(sources.sent, []);
  setConfig(0x04, BUS_MASTER);
  assert.deepEqual(sources.sent, ['fee01000:65']);
  assert.equal(msix.isEnabled, true);
});

test('what is signalled while a vector or the function is masked is pending, and sent once later', () => {
  const pending = () => {
    const data = new Uint8Array(8);
    msix.readPending(0, data);
    return data[0]! | (data[1]! << 8);
  };
  program(1, 0x31);
  program(9, 0x39);
  setControl(ENABLED);
  writeReg(table, 1 * 16 + 12, 1, 4);
  sources.signal(1);
  sources.signal(1);
  assert.equal(pending(), 1 << 1);
  setControl(FUNCTION_MASKED);
  sources.signal(9);
  assert.equal(pending(), (1 << 1) | (1 << 9));
  setControl(ENABLED);
  assert.deepEqual(sources.sent, ['fee01000:57']);
  writeReg(table, 1 * 16 + 12, 0, 4);
  assert.deepEqual(sources.sent, ['fee01000:57', 'fee01000:49']);
  assert.equal(pending(), 0);
});

test('a message that was changed is the one that is sent', () => {
  program(0, 0x31);
  setControl(ENABLED);
  writeReg(table, 8, 0x32, 1);
  sources.signal(0);
  assert.deepEqual(sources.sent, ['fee01000:50']);
});

test('an address above 4 GiB is nobody', () => {
  program(0, 0x31);
  setControl(ENABLED);
  writeReg(table, 4, 1, 4);
  sources.signal(0);
  assert.deepEqual(sources.sent, []);
});

test('every thread sees the same', () => {
  program(2, 0x42);
  setControl(ENABLED);
  const other = attach();
  const data = new Uint8Array(4);
  other.readTable(2 * 16 + 8, data);
  assert.deepEqual([...data], [0x42, 0, 0, 0]);
  other.writeTable(2 * 16 + 12, Uint8Array.of(1, 0, 0, 0));
  assert.equal(sources.connected.size, 0);
});

test('no access does harm', () => {
  setControl(ENABLED);
  hammer(table, VECTORS * 16 + 16);
  assert.equal(readReg(table, VECTORS * 16 - 4, 4), 1, 'reserved bits read as zero');
  const state = new MsixState(new SharedArrayBuffer(MsixState.byteLength));
  for (const vectors of [0, 129]) assert.throws(() => new Msix(state, config, 0x40, vectors, sources), RangeError);
});
