import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { ExitReason } from './device.ts';
import { type IrqchipOptions, Platform } from './platform.ts';
import { platformByteLength, platformStates } from './platform-state.ts';
import { ManualClock } from './testing.ts';
import { WiredOr, WiredOrState } from './wired-or.ts';

function build(irqchip: IrqchipOptions, buffer = new SharedArrayBuffer(platformByteLength())) {
  const clock = new ManualClock();
  const exits: ExitReason[] = [];
  const output: number[] = [];
  const sink = { write: (bytes: Uint8Array) => output.push(...bytes) };
  const platform = new Platform(buffer, {
    clock,
    irqchip,
    serials: [sink, undefined, sink],
    debugConsole: sink,
    memoryBelow4G: 0x1000_0000,
    memoryAbove4G: 0,
    onExit: (reason) => exits.push(reason),
  });
  return { platform, clock, exits, output, buffer };
}

/** PIC, PIT and IOAPIC of ours; `messages` gets the data of the IOAPIC's MSIs. */
function split(messages: number[] = []): IrqchipOptions {
  return { kind: 'split', signalMsi: (_, data) => messages.push(data), onExtInt: () => {}, onRoute: () => {} };
}

function out(platform: Platform, port: number, value: number, width = 1): void {
  const data = new Uint8Array(width);
  for (let i = 0; i < width; i++) data[i] = value >>> (8 * i);
  platform.ports.write(port, data);
}

function inb(platform: Platform, port: number): number {
  const data = new Uint8Array(1);
  platform.ports.read(port, data);
  return data[0]!;
}

test('the devices are at their ports', () => {
  const { platform, output } = build(split());
  out(platform, 0x3f8, 0x41);
  out(platform, 0x402, 0x42);
  out(platform, 0x3e8, 0x43);
  out(platform, 0x2f8, 0x44); // no sink, no port
  assert.deepEqual(output, [0x41, 0x42, 0x43]);
  assert.equal(inb(platform, 0x402), 0xe9);
  assert.equal(inb(platform, 0x2f8 + 5), 0xff);
  assert.equal(inb(platform, 0x3f8 + 5), 0x60);
  assert.equal(inb(platform, 0x4d0), 0x20);
  assert.equal(inb(platform, 0x4d1), 0x1e);
  out(platform, 0x21, 0xfb);
  assert.equal(inb(platform, 0x21), 0xfb);
  for (const port of [0x80, 0xed, 0xf0, 0xf1]) out(platform, port, 0xff);
});

test('each way for a guest to end', () => {
  const { platform, exits } = build(split());
  out(platform, 0x64, 0xfe);
  out(platform, 0x92, 0x01);
  out(platform, 0xcf9, 0x06);
  out(platform, 0xc004, 0x2000, 2);
  const address = new Uint8Array(4);
  out(platform, 0xcf8, 0x8000_0000 + (31 << 11) + 0x10, 4);
  platform.ports.read(0xcfc, address);
  const bar = new DataView(address.buffer).getUint32(0, true);
  platform.mmio.write(bar, Uint8Array.of(1));
  assert.deepEqual(exits, ['reset', 'reset', 'reset', 'powered off', 'panic']);
});

test('threads share everything', () => {
  const first = build(split());
  const second = build(split(), first.buffer);
  assert.equal(first.platform.serials[0]!.pushInput(Uint8Array.of(0x61)), 1);
  assert.equal(inb(second.platform, 0x3f8), 0x61);
  out(second.platform, 0x21, 0xfb);
  assert.equal(inb(first.platform, 0x21), 0xfb);
});

test('a serial interrupt goes through the IOAPIC', () => {
  const messages: number[] = [];
  const { platform } = build(split(messages));
  platform.mmio.write(0xfec0_0000, Uint8Array.of(0x10 + 2 * 4, 0, 0, 0));
  platform.mmio.write(0xfec0_0010, Uint8Array.of(0x34, 0, 0, 0));
  out(platform, 0x3f8 + 4, 0x08);
  out(platform, 0x3f8 + 1, 0x02);
  assert.deepEqual(messages, [0x4034]);
});

for (const pin of [0, 2]) {
  test(`the timer interrupt comes on IOAPIC pin ${pin} when somebody keeps time`, () => {
    const messages: number[] = [];
    const { platform, clock } = build(split(messages));
    platform.mmio.write(0xfec0_0000, Uint8Array.of(0x10 + 2 * pin, 0, 0, 0));
    platform.mmio.write(0xfec0_0010, Uint8Array.of(0x30, 0, 0, 0));
    for (const [port, value] of [
      [0x43, 0x34],
      [0x40, 0x00],
      [0x40, 0x10],
    ] as const)
      out(platform, port, value);
    messages.length = 0;
    clock.time = platform.timers.deadline();
    platform.timers.tick();
    assert.deepEqual(messages, [0x4030]);
  });
}

test('with an irqchip in the kernel none of ours is on the bus', () => {
  const lines: [number, boolean][] = [];
  const interrupts = { setLine: (gsi: number, level: boolean) => lines.push([gsi, level]), signalMsi: () => {} };
  const { platform } = build({ kind: 'kernel', interrupts });
  for (const port of [0x20, 0x21, 0xa0, 0x40, 0x43, 0x61, 0x4d0]) assert.equal(inb(platform, port), 0xff);
  out(platform, 0xc002, 0x0100, 2);
  platform.acpiPm.pressPowerButton();
  platform.acpiPm.pressPowerButton();
  assert.deepEqual(lines, [[5, true]]);
});

test('PCI devices share their INTx wires', () => {
  const lines: [number, boolean][] = [];
  const interrupts = { setLine: (gsi: number, level: boolean) => lines.push([gsi, level]), signalMsi: () => {} };
  const { platform } = build({ kind: 'kernel', interrupts });
  const [first, second] = [platform.pciInterrupt(1), platform.pciInterrupt(5)];
  assert.deepEqual([first.pin, first.irq], [1, second.irq]);
  first.line.set(true);
  second.line.set(true);
  first.line.set(false);
  second.line.set(false);
  assert.deepEqual(lines, [
    [first.irq, true],
    [first.irq, false],
  ]);
});

test('what can be read where nothing happens', () => {
  const { platform } = build(split());
  assert.equal(inb(platform, 0x80), 0);
  const events = new Uint8Array(4);
  platform.mmio.read(0xd000_0000, events); // pvpanic's BAR
  assert.deepEqual([...events], [3, 0, 0, 0]);
});

test('a buffer that is too small', () => {
  assert.throws(() => platformStates(new SharedArrayBuffer(64)), RangeError);
});

test('a shared wire is high while any source asserts it', () => {
  const levels: boolean[] = [];
  const controller = { setLine: (_: number, level: boolean) => levels.push(level), signalMsi: () => {} };
  const wires = new WiredOr(new WiredOrState(new SharedArrayBuffer(WiredOrState.byteLength)), controller);
  const a = wires.line(4, 0);
  const b = wires.line(4, 63);
  a.set(true);
  b.set(true);
  a.set(false);
  a.set(false);
  b.set(false);
  assert.deepEqual(levels, [true, false]);
  assert.throws(() => wires.line(24, 0), RangeError);
  assert.throws(() => wires.line(0, 64), RangeError);
});

test('threads that use one device at the same time lose nothing', async () => {
  const { platform, buffer } = build(split());
  const rounds = 3000;
  const source = `
    import { workerData } from 'node:worker_threads';
    import { Platform } from ${JSON.stringify(new URL('./platform.ts', import.meta.url).href)};
    const idle = { write() {} };
    const platform = new Platform(workerData, {
      clock: { now: () => 0, wallTime: () => 0 },
      irqchip: { kind: 'kernel', interrupts: { setLine() {}, signalMsi() {} } },
      serials: [idle], memoryBelow4G: 0, memoryAbove4G: 0, onExit() {},
    });
    for (let i = 0; i < ${rounds}; i++) {
      while (platform.serials[0].pushInput(Uint8Array.of(i)) === 0) await new Promise((done) => setTimeout(done, 1));
    }`;
  const workers = [0, 1].map(() => {
    return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: buffer });
  });
  const done = Promise.all(
    workers.map((w) => new Promise((resolve, reject) => w.on('exit', resolve).on('error', reject))),
  );
  let finished = false;
  const wait = done.then(() => {
    finished = true;
  });
  const counts = new Uint32Array(256);
  const drain = () => {
    while (inb(platform, 0x3f8 + 5) & 1) {
      const byte = inb(platform, 0x3f8);
      counts[byte] = counts[byte]! + 1;
    }
  };
  while (!finished) {
    drain();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await wait;
  drain();
  const expected = Array.from({ length: 256 }, (_, byte) => 2 * Math.ceil((rounds - byte) / 256));
  assert.deepEqual([...counts], expected);
});
