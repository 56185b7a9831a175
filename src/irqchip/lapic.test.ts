import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { hammer, ManualClock, readReg, writeReg } from '../devices/testing.ts';
import { IoapicState } from './ioapic.ts';
import { EXTINT_PENDING, type Lapic } from './lapic.ts';
import { LapicState } from './lapic-state.ts';
import { PicState } from './pic.ts';
import { PitState } from './pit.ts';
import { SoftIrqchip } from './soft-irqchip.ts';

const ENABLE = 0x800;
const X2APIC = 0x400;
const BASE = 0xfee0_0000;

let clock: ManualClock;
let notified: number[];
let chip: SoftIrqchip;
let lapic: Lapic;

function shared<T>(struct: { byteLength: number; new (buffer: SharedArrayBuffer): T }): T {
  return new struct(new SharedArrayBuffer(struct.byteLength));
}

beforeEach(() => {
  clock = new ManualClock();
  notified = [];
  const states = {
    pic: shared(PicState),
    pit: shared(PitState),
    ioapic: shared(IoapicState),
    lapics: [0, 1, 2, 3].map(() => shared(LapicState)),
  };
  chip = new SoftIrqchip(states, { clock, notifier: { notify: (vcpu) => notified.push(vcpu) } });
  lapic = chip.lapics[0]!;
  for (const each of chip.lapics) writeReg(each, 0xf0, 0x1ff, 4);
});

function get(offset: number, from = lapic): number {
  return readReg(from, offset, 4);
}

function set(offset: number, value: number, to = lapic): void {
  writeReg(to, offset, value, 4);
}

function toX2apic(which: Lapic): void {
  assert.equal(which.writeMsr(0x1b, BASE | ENABLE | X2APIC, 0), true);
}

/** Vectors pending at each LAPIC. */
function pending(): number[] {
  return chip.lapics.map((each) => each.pendingVector());
}

test('reset state', () => {
  const fresh = new SoftIrqchip(
    { pic: shared(PicState), pit: shared(PitState), ioapic: shared(IoapicState), lapics: [shared(LapicState)] },
    { clock, notifier: { notify: () => {} } },
  ).lapics[0]!;
  assert.equal(get(0x30, fresh), 0x0005_0014);
  assert.equal(get(0xf0, fresh), 0xff);
  assert.equal(get(0xe0, fresh), 0xffff_ffff);
  for (let lvt = 0x320; lvt <= 0x370; lvt += 0x10) {
    assert.equal(get(lvt, fresh), lvt === 0x350 ? 0x700 : 0x1_0000);
    assert.equal(get(lvt, chip.lapics[1]), 0x1_0000);
  }
  assert.equal(fresh.attention(), 0);
  assert.equal(fresh.deadline(), Number.POSITIVE_INFINITY);
});

test('IDs and the APIC base', () => {
  assert.equal(get(0x20, chip.lapics[3]), 0x0300_0000);
  assert.equal(lapic.readMsr(0x1b), true);
  assert.equal(lapic.msrLow, BASE + 0x900);
  chip.lapics[1]!.readMsr(0x1b);
  assert.equal(chip.lapics[1]!.msrLow, BASE + 0x800);
  assert.equal(lapic.mmioBase, BASE);
});

test('an interrupt is taken, served and ended', () => {
  lapic.accept(0, 0x41, false);
  assert.deepEqual(notified, [0]);
  assert.equal(get(0x220), 2);
  assert.equal(lapic.pendingVector(), 0x41);
  assert.equal(lapic.acknowledge(), 0x41);
  assert.equal(lapic.pendingVector(), -1);
  assert.equal(get(0x120), 2);
  assert.equal(get(0xa0), 0x40);
  set(0xb0, 0);
  assert.equal(get(0x120), 0);
  assert.equal(get(0xa0), 0);
});

test('priority: classes nest, a class does not interrupt itself', () => {
  lapic.accept(0, 0x41, false);
  lapic.acknowledge();
  lapic.accept(0, 0x4f, false);
  assert.equal(lapic.pendingVector(), -1);
  lapic.accept(0, 0x51, false);
  assert.equal(lapic.acknowledge(), 0x51);
  set(0xb0, 0);
  set(0xb0, 0);
  assert.equal(lapic.pendingVector(), 0x4f);
});

test('TPR holds back its class and below', () => {
  lapic.tpr = 0x40;
  lapic.accept(0, 0x4f, false);
  assert.equal(lapic.pendingVector(), -1);
  assert.equal(get(0x80), 0x40);
  lapic.tpr = 0x3f;
  assert.equal(lapic.pendingVector(), 0x4f);
});

test('software disable masks the LVTs and refuses fixed interrupts, but not NMI', () => {
  set(0x320, 0x31);
  set(0xf0, 0xff);
  assert.equal(get(0x320), 0x1_0031);
  set(0x320, 0x31);
  assert.equal(get(0x320), 0x1_0031);
  lapic.accept(0, 0x41, false);
  assert.equal(lapic.attention(), 0);
  lapic.accept(4, 0, false);
  assert.equal(lapic.takeNmi(), true);
  assert.equal(lapic.takeNmi(), false);
});

test('an illegal vector is an error', () => {
  set(0x370, 0x33);
  lapic.accept(0, 5, false);
  assert.equal(lapic.pendingVector(), 0x33);
  assert.equal(get(0x280), 0);
  set(0x280, 0);
  assert.equal(get(0x280), 0x40);
  set(0x280, 0);
  assert.equal(get(0x280), 0);
  set(0x300, 0x4_0005); // self IPI of vector 5
  set(0x280, 0);
  assert.equal(get(0x280), 0x20);
});

test('physical destinations and broadcast', () => {
  set(0x310, 0x0200_0000);
  set(0x300, 0x41);
  assert.deepEqual(pending(), [-1, -1, 0x41, -1]);
  set(0x310, 0xff00_0000);
  set(0x300, 0x42);
  assert.deepEqual(pending(), [0x42, 0x42, 0x42, 0x42]);
});

test('shorthands', () => {
  set(0x300, 0x4_0041, chip.lapics[1]);
  assert.deepEqual(pending(), [-1, 0x41, -1, -1]);
  set(0x300, 0xc_0042, chip.lapics[1]);
  assert.deepEqual(pending(), [0x42, 0x41, 0x42, 0x42]);
  set(0x300, 0x8_0043, chip.lapics[1]);
  assert.deepEqual(pending(), [0x43, 0x43, 0x43, 0x43]);
});

test('logical destinations in the flat and the cluster model', () => {
  for (const each of chip.lapics) set(0xd0, (1 << each.id) << 24, each);
  set(0x310, 0x0600_0000);
  set(0x300, 0x0841);
  assert.deepEqual(pending(), [-1, 0x41, 0x41, -1]);
  chip.lapics.forEach((each, i) => {
    set(0xe0, 0x0fff_ffff, each);
    set(0xd0, (((i >> 1) << 4) | (1 << (i & 1))) << 24, each);
  });
  set(0x310, 0x1300_0000);
  set(0x300, 0x0851);
  assert.deepEqual(pending(), [-1, 0x41, 0x51, 0x51]);
});

test('lowest priority goes to one, the least busy', () => {
  lapic.tpr = 0x30;
  set(0x310, 0xff00_0000);
  set(0x300, 0x0141);
  assert.deepEqual(pending(), [-1, 0x41, -1, -1]);
});

test('INIT resets, start-up follows, de-assert is ignored', () => {
  const target = chip.lapics[1]!;
  target.accept(0, 0x41, false);
  set(0x310, 0x0100_0000);
  set(0x300, 0x0000_c500);
  set(0x300, 0x0000_8500);
  set(0x300, 0x0000_0699);
  assert.equal(target.takeInit(), true);
  assert.equal(target.takeInit(), false);
  assert.equal(get(0xf0, target), 0xff);
  assert.equal(target.pendingVector(), -1);
  assert.equal(target.takeSipi(), 0x99);
  assert.equal(target.takeSipi(), -1);
  target.readMsr(0x1b);
  assert.equal(target.msrLow, BASE + ENABLE);
});

test('one-shot timer', () => {
  set(0x3e0, 0x0b); // divide by 1
  set(0x320, 0x31);
  set(0x380, 1000);
  assert.equal(lapic.deadline(), 1000);
  clock.advance(400);
  assert.equal(get(0x390), 600);
  lapic.tick();
  assert.equal(lapic.pendingVector(), -1);
  clock.advance(600);
  lapic.tick();
  assert.equal(lapic.pendingVector(), 0x31);
  assert.equal(get(0x390), 0);
  assert.equal(lapic.deadline(), Number.POSITIVE_INFINITY);
});

test('timer divisors', () => {
  for (const [code, divisor] of [
    [0, 2],
    [1, 4],
    [2, 8],
    [3, 16],
    [8, 32],
    [9, 64],
    [10, 128],
    [11, 1],
  ] as const) {
    set(0x3e0, code);
    set(0x380, 1000);
    assert.equal(lapic.deadline() - clock.time, 1000 * divisor);
  }
  set(0x380, 0xffff_ffff);
  clock.advance(5);
  set(0x3e0, 0);
  assert.equal(get(0x390), 0xffff_ffff - 5);
});

test('periodic timer keeps its phase and is masked by its LVT', () => {
  set(0x3e0, 0x0b);
  set(0x320, 0x2_0031);
  set(0x380, 1_000_000);
  clock.advance(3_500_000);
  assert.equal(get(0x390), 500_000);
  lapic.tick();
  assert.equal(lapic.deadline(), 4_000_000);
  assert.equal(lapic.acknowledge(), 0x31);
  set(0x320, 0x3_0031);
  clock.advance(500_000);
  lapic.tick();
  assert.equal(get(0x210), 0);
  assert.equal(lapic.deadline(), 5_000_000);
});

test('a periodic timer of one nanosecond does not drown the host', () => {
  set(0x3e0, 0x0b);
  set(0x320, 0x2_0031);
  set(0x380, 1);
  clock.advance(1e9);
  lapic.tick();
  assert.equal(lapic.deadline(), clock.time + 100_000);
});

test('TSC-deadline timer', () => {
  lapic.setTscDeadline(100); // not in this mode
  assert.equal(lapic.deadline(), Number.POSITIVE_INFINITY);
  set(0x320, 0x4_0031);
  set(0x380, 1000);
  assert.equal(lapic.deadline(), Number.POSITIVE_INFINITY);
  lapic.setTscDeadline(5000);
  assert.equal(lapic.tscDeadlineArmed(), true);
  clock.advance(5000);
  lapic.tick();
  assert.equal(lapic.tscDeadlineArmed(), false);
  assert.equal(lapic.pendingVector(), 0x31);
  lapic.setTscDeadline(9000);
  set(0x320, 0x0_0031);
  assert.equal(lapic.deadline(), Number.POSITIVE_INFINITY);
});

test('x2APIC: identity, 64-bit ICR, self IPI and faults', () => {
  const x2 = chip.lapics[2]!;
  assert.equal(x2.readMsr(0x802), false);
  toX2apic(x2);
  assert.equal(x2.mmioBase, -1);
  assert.equal(get(0x20, x2), 0xffff_ffff);
  assert.equal(x2.readMsr(0x802), true);
  assert.equal(x2.msrLow, 2);
  x2.readMsr(0x80d);
  assert.equal(x2.msrLow, 4);
  assert.equal(x2.writeMsr(0x830, 0x41, 3), true);
  assert.deepEqual(pending(), [-1, -1, -1, 0x41]);
  x2.readMsr(0x830);
  assert.deepEqual([x2.msrLow, x2.msrHigh], [0x41, 3]);
  assert.equal(x2.writeMsr(0x83f, 0x55, 0), true);
  assert.equal(x2.pendingVector(), 0x55);
  x2.acknowledge();
  assert.equal(x2.writeMsr(0x80b, 0, 0), true);
  for (const read of [0x80b, 0x80e, 0x831, 0x82f, 0x83f, 0x840]) assert.equal(x2.readMsr(read), false);
  for (const write of [0x802, 0x803, 0x80a, 0x80d, 0x80e, 0x810, 0x831, 0x839, 0x83b]) {
    assert.equal(x2.writeMsr(write, 0, 0), false);
  }
  for (const [index, low, high] of [
    [0x80b, 1, 0],
    [0x828, 1, 0],
    [0x808, 0x100, 0],
    [0x808, 0, 1],
  ] as const) {
    assert.equal(x2.writeMsr(index, low, high), false);
  }
});

test('x2APIC: logical destinations and broadcast', () => {
  for (const each of chip.lapics) toX2apic(each);
  lapic.writeMsr(0x830, 0x0841, 0x0000_000a);
  assert.deepEqual(pending(), [-1, 0x41, -1, 0x41]);
  lapic.writeMsr(0x830, 0x51, 0xffff_ffff);
  assert.deepEqual(pending(), [0x51, 0x51, 0x51, 0x51]);
});

test('transitions of the APIC base', () => {
  assert.equal(lapic.writeMsr(0x1b, BASE | X2APIC, 0), false);
  toX2apic(lapic);
  assert.equal(lapic.writeMsr(0x1b, BASE | ENABLE, 0), false);
  assert.equal(lapic.writeMsr(0x1b, BASE, 0), true);
  assert.equal(lapic.writeMsr(0x1b, BASE | ENABLE | X2APIC, 0), false);
  assert.equal(lapic.writeMsr(0x1b, BASE | ENABLE, 0), true);
  assert.equal(lapic.writeMsr(0x1b, BASE | ENABLE | 1, 0), false);
  assert.equal(lapic.writeMsr(0x1b, BASE | ENABLE, 0x10_0000), false);
  lapic.readMsr(0x1b);
  assert.equal(lapic.msrLow, BASE + 0x900);
});

test('PIC interrupts come through LINT0 as ExtINT, or directly without a LAPIC', () => {
  const { pic } = chip.isa;
  writeReg(pic.master, 0, 0x11);
  for (const word of [0x20, 4, 1]) writeReg(pic.master, 1, word);
  set(0x350, 0x1_0700);
  chip.setLine(4, true);
  assert.equal(lapic.pendingVector(), -1);
  set(0x350, 0x700);
  assert.equal(lapic.pendingVector(), EXTINT_PENDING);
  assert.equal(lapic.acknowledge(), 0x24);
  assert.equal(lapic.pendingVector(), -1);
  writeReg(pic.master, 0, 0x20);
  chip.setLine(4, false);
  chip.setLine(4, true);
  lapic.writeMsr(0x1b, BASE, 0);
  assert.equal(lapic.pendingVector(), EXTINT_PENDING);
});

test('LINT1 as NMI, LINT0 as a fixed interrupt', () => {
  set(0x360, 0x400);
  lapic.setLint(1, true);
  assert.equal(lapic.takeNmi(), true);
  set(0x350, 0x61);
  lapic.setLint(0, true);
  lapic.setLint(0, true);
  assert.equal(lapic.acknowledge(), 0x61);
  assert.equal(lapic.pendingVector(), -1);
});

test('a level-triggered interrupt goes round through the IOAPIC', () => {
  const { ioapic } = chip.isa;
  set(0x350, 0x1_0000);
  writeReg(ioapic, 0x00, 0x10 + 2 * 9, 4);
  writeReg(ioapic, 0x10, 0x8051, 4);
  chip.setLine(9, true);
  assert.equal(lapic.acknowledge(), 0x51);
  set(0xb0, 0);
  assert.equal(lapic.pendingVector(), 0x51);
  lapic.acknowledge();
  chip.setLine(9, false);
  set(0xb0, 0);
  assert.equal(lapic.pendingVector(), -1);
});

test('MSIs: destination, mode, and addresses that are not for us', () => {
  chip.signalMsi(0xfee0_1000, 0x41);
  chip.signalMsi(0xfed0_0000, 0x41);
  chip.signalMsi(0xfee0_3000, 0x0400);
  assert.deepEqual(pending(), [-1, 0x41, -1, -1]);
  assert.equal(chip.lapics[3]!.takeNmi(), true);
});

test('the register page survives a round trip', () => {
  set(0x320, 0x2_0031);
  set(0x380, 1000);
  lapic.tpr = 0x20;
  lapic.accept(0, 0x41, false);
  const page = lapic.save();
  assert.equal(page.length, 1024);
  const other = chip.lapics[1]!;
  other.load(page);
  assert.equal(get(0x20, other), 0x0100_0000);
  assert.equal(other.tpr, 0x20);
  assert.equal(other.pendingVector(), 0x41);
  assert.equal(other.deadline(), 2000);
  assert.doesNotThrow(() => other.load(new Uint8Array(3)));
  assert.doesNotThrow(() => other.load(new Uint8Array(5000).fill(0xff)));
});

test('no access does harm', () => {
  hammer(lapic, 0x410);
  for (let index = 0x7f0; index < 0x850; index++) {
    lapic.readMsr(index);
    lapic.writeMsr(index, 0xffff_ffff, 0xffff_ffff);
  }
});
