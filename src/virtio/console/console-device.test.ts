import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ScatterList } from '../../memory/scatter-list.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import { controlMessage } from './console-config.ts';
import { ConsoleDevice } from './console-device.ts';
import type { ConsoleInput, ConsoleOutput, PortOptions } from './console-port.ts';

const EPOLLIN = 1;
const EPOLLOUT = 4;
const INPUT_FD = 1000;
const OUTPUT_FD = 2000;

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);

/** Input that comes when a test says so; `undefined` in it is its end. */
class FakeInput implements ConsoleInput {
  readonly fd: number;
  readonly pending: (string | undefined)[] = [];
  closed = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  read(list: ScatterList): number {
    if (this.pending.length === 0) return -1;
    const next = this.pending.shift();
    if (next === undefined) return 0;
    const n = list.copyFrom(bytes(next));
    if (n < next.length) this.pending.unshift(next.slice(n));
    return n;
  }

  close(): void {
    this.closed = true;
  }
}

/** Output with room for some bytes. */
class FakeOutput implements ConsoleOutput {
  readonly fd: number;
  room = Number.POSITIVE_INFINITY;
  text = '';
  fails = false;
  closed = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  write(list: ScatterList, from: number): number {
    if (this.fails) throw new Error('EPIPE');
    if (this.room === 0) return -1;
    const part = new Uint8Array(Math.min(this.room, list.length - from));
    list.copyTo(part, from);
    this.room -= part.length;
    this.text += text(part);
    return part.length;
  }

  close(): void {
    this.closed = true;
  }
}

function setUp(format: RingFormat, count = 1, isConsole = true) {
  const ports = Array.from({ length: count }, (_, i) => ({
    name: count === 1 ? '' : `port.${i}`,
    isConsole: isConsole && i === 0,
    input: new FakeInput(INPUT_FD + i),
    output: new FakeOutput(OUTPUT_FD + i),
  }));
  const device = new ConsoleDevice(ports as readonly PortOptions[] as [PortOptions]);
  return { ports, device, harness: new DeviceHarness(device, format) };
}

function send(harness: DeviceHarness, queue: number, value: string): boolean {
  return harness.tryRequest(queue, { readable: [bytes(value)] }) !== undefined;
}

for (const format of RING_FORMATS) {
  test(`${format}: output goes out, input comes in`, () => {
    const { ports, harness } = setUp(format);
    assert.ok(send(harness, 1, 'hello '));
    assert.ok(send(harness, 1, 'world'));
    assert.equal(ports[0]!.output.text, 'hello world');
    const { drivers } = harness;
    drivers[0]!.add({ writable: [4] });
    drivers[0]!.add({ writable: [2, 2] });
    harness.kick(0);
    assert.equal(harness.watchedEvents(INPUT_FD), EPOLLIN);
    ports[0]!.input.pending.push('abcdef');
    harness.ready(INPUT_FD, EPOLLIN);
    assert.equal(text(drivers[0]!.take()!.data), 'abcd');
    const second = drivers[0]!.take()!;
    assert.equal(second.written, 2);
    assert.equal(text(second.data.subarray(0, 2)), 'ef');
    assert.ok(harness.interrupts[0]! > 0);
  });

  test(`${format}: input waits for room, and its end is no concern of the guest`, () => {
    const { ports, harness } = setUp(format);
    const { input } = ports[0]!;
    input.pending.push('abc', undefined);
    harness.kick(0);
    assert.deepEqual(harness.watched, []);
    assert.equal(text(harness.request(0, { writable: [8] }).data.subarray(0, 3)), 'abc');
    assert.equal(harness.tryRequest(0, { writable: [8] }), undefined);
    assert.ok(input.closed);
    assert.deepEqual(harness.watched, []);
  });

  test(`${format}: output waits for room and loses nothing, byte by byte`, () => {
    const { ports, harness } = setUp(format);
    const { output } = ports[0]!;
    output.room = 0;
    const driver = harness.drivers[1]!;
    driver.add({ readable: [bytes('one '), bytes('two ')] });
    driver.add({ readable: [bytes('three')] });
    harness.kick(1);
    assert.equal(harness.watchedEvents(OUTPUT_FD), EPOLLOUT);
    for (let i = 0; i < 13; i++) {
      assert.equal(driver.take() !== undefined, i === 8);
      output.room = 1;
      harness.ready(OUTPUT_FD, EPOLLOUT);
    }
    assert.equal(output.text, 'one two three');
    assert.ok(driver.take());
    assert.deepEqual(harness.watched, []);
  });

  test(`${format}: a queue that stops in the middle of an output goes on there`, () => {
    const { ports, harness } = setUp(format);
    const { output } = ports[0]!;
    output.room = 3;
    harness.drivers[1]!.add({ readable: [bytes('abcdef')] });
    harness.kick(1);
    harness.restart(1);
    assert.deepEqual(harness.watched, []);
    output.room = 100;
    harness.kick(1);
    assert.equal(output.text, 'abcdef');
  });

  test(`${format}: input is not waited for while there is no queue for it`, () => {
    const { ports, harness } = setUp(format);
    harness.drivers[0]!.add({ writable: [8] });
    harness.kick(0);
    assert.deepEqual(harness.watched, [INPUT_FD]);
    harness.restart(0);
    assert.deepEqual(harness.watched, []);
    ports[0]!.input.pending.push('x');
    harness.kick(0);
    assert.equal(harness.drivers[0]!.take()?.written, 1);
  });

  test(`${format}: output that fails is dropped, and the guest goes on`, () => {
    const { ports, harness } = setUp(format);
    const { output } = ports[0]!;
    output.fails = true;
    assert.ok(send(harness, 1, 'x'));
    assert.ok(output.closed);
    assert.ok(send(harness, 1, 'y'));
  });

  test(`${format}: several ports introduce themselves and are independent`, () => {
    const { ports, harness } = setUp(format, 3);
    const [control, answers] = [3, 2];
    const driver = harness.drivers[answers]!;
    for (let i = 0; i < 12; i++) driver.add({ writable: [64] });
    const say = (port: number, event: number, value: number) =>
      harness.request(control, { readable: [controlMessage(port, event, value)] });
    const heard = () => {
      const all: string[] = [];
      for (let result = driver.take(); result !== undefined; result = driver.take()) {
        const view = new DataView(result.data.buffer);
        const rest = text(result.data.subarray(8, result.written));
        all.push(`${view.getUint32(0, true)} ${view.getUint16(4, true)} ${view.getUint16(6, true)} ${rest}`.trim());
      }
      return all;
    };
    say(0, 0, 1);
    assert.deepEqual(heard(), ['0 1 1', '1 1 1', '2 1 1']);
    say(0, 3, 1);
    say(2, 3, 1);
    assert.deepEqual(heard(), ['0 4 1', '0 7 1 port.0', '0 6 1', '2 7 1 port.2', '2 6 1']);
    assert.ok(send(harness, 7, 'to two'));
    assert.equal(ports[2]!.output.text, 'to two');
    // A port that the guest has not opened gets nothing.
    ports[2]!.input.pending.push('early');
    assert.equal(harness.tryRequest(6, { writable: [8] }), undefined);
    say(2, 6, 1);
    assert.equal(text(harness.drivers[6]!.take()!.data.subarray(0, 5)), 'early');
    say(2, 6, 0);
    ports[2]!.input.pending.push('late');
    assert.equal(harness.tryRequest(6, { writable: [8] }), undefined);
  });

  test(`${format}: control messages that make no sense change nothing`, () => {
    const { device, harness } = setUp(format, 2);
    for (const readable of [
      [new Uint8Array(0)],
      [new Uint8Array(7)],
      [controlMessage(99, 3, 1)],
      [controlMessage(0xffff_ffff, 6, 1)],
      [controlMessage(0, 77, 1)],
      [controlMessage(0, 5, 1, new Uint8Array(3000))],
    ]) {
      harness.request(3, { readable });
    }
    // Nobody takes the answers.
    for (let i = 0; i < 1000; i++) harness.request(3, { readable: [controlMessage(0, 0, 1)] });
    assert.equal(harness.request(2, { writable: [1] }).written, 1);
    device.reset();
    assert.equal(harness.tryRequest(2, { writable: [8] }), undefined);
  });

  test(`${format}: the size of a terminal is told`, () => {
    const { device, harness } = setUp(format, 2);
    device.resize(0, 80, 25);
    device.resize(1, 132, 43);
    assert.equal(harness.configChanges, 1);
    assert.deepEqual([...device.config.subarray(0, 8)], [80, 0, 25, 0, 2, 0, 0, 0]);
    const sizes = [0, 1].map(() => [...harness.request(2, { writable: [20] }).data.subarray(0, 12)]);
    assert.deepEqual(sizes, [
      [0, 0, 0, 0, 5, 0, 0, 0, 25, 0, 80, 0],
      [1, 0, 0, 0, 5, 0, 0, 0, 43, 0, 132, 0],
    ]);
  });

  test(`${format}: a driver that comes later hears of the size`, () => {
    const { device, harness } = setUp(format);
    device.resize(0, 80, 25);
    device.reset();
    device.negotiated(device.features);
    assert.equal(harness.configChanges, 1);
    harness.kick(0);
    assert.equal(harness.configChanges, 1, 'the driver has no buffers yet');
    for (let i = 0; i < 2; i++) harness.tryRequest(0, { writable: [1] });
    assert.equal(harness.configChanges, 2);
  });

  test(`${format}: a console with a name has control messages; one tells its size`, () => {
    const port = { name: 'agent', isConsole: true, input: undefined, output: undefined };
    const device = new ConsoleDevice([port]);
    const harness = new DeviceHarness(device, format);
    device.resize(0, 80, 25);
    assert.deepEqual([...harness.request(2, { writable: [20] }).data.subarray(4)].slice(0, 2), [5, 0]);
    harness.request(3, { readable: [controlMessage(0, 3, 1)] });
    const events = Array.from({ length: 4 }, () => harness.request(2, { writable: [20] }).data[4]);
    assert.deepEqual(events, [4, 5, 7, 6]);
  });

  test(`${format}: an emergency needs no queue; requests with the wrong parts are answered`, () => {
    const { ports, device, harness } = setUp(format);
    device.configWritten(8, bytes('!\0\0\0'));
    device.configWritten(0, bytes('?'));
    assert.equal(ports[0]!.output.text, '!');
    ports[0]!.output.fails = true;
    device.configWritten(8, bytes('!'));
    assert.ok(ports[0]!.output.closed);
    assert.equal(harness.request(1, { writable: [5] }).written, 0);
    ports[0]!.input.pending.push('x');
    assert.equal(harness.request(0, { readable: [bytes('no room')] }).written, 0);
    assert.equal(harness.request(0, { writable: [1] }).written, 1);
  });
}
