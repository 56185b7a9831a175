import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { EventFd } from '../../base/event-fd.ts';
import { close, dup, pipe, read, write, writeAll } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { BalloonDevice } from '../../virtio/balloon/balloon-device.ts';
import { MAX_DEVICE_STATE } from '../../virtio/device-state.ts';
import { LOAD, SAVE, STATE_REFUSED, STOPPED, THEIR_PIPE } from '../protocol/device-state.ts';
import { TestFrontEnd } from '../testing/test-front-end.ts';

const openDescriptors = () => readdirSync('/proc/self/fd').length;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function setUp() {
  const options = { deflateOnOom: false, pageReporting: false, size: 40 << 12 };
  const device = new BalloonDevice(() => {}, options);
  const frontEnd = new TestFrontEnd(device);
  frontEnd.negotiateProtocol();
  const start = (direction: number, fds: number[], phase = STOPPED) =>
    frontEnd.call('SET_DEVICE_STATE_FD', { direction, phase }, fds);
  const check = () => frontEnd.call('CHECK_DEVICE_STATE', undefined);
  return { device, frontEnd, start, check };
}

/** Hands a pipe's end over: the other one stays. */
function given(end: number, hand: (fd: number) => void): void {
  hand(end);
  close(end);
}

function saved({ frontEnd, start, check }: ReturnType<typeof setUp>): Uint8Array {
  const [reader, writer] = pipe();
  given(writer, (fd) => assert.equal(start(SAVE, [fd]), THEIR_PIPE));
  frontEnd.run();
  const bytes = new Uint8Array(MAX_DEVICE_STATE);
  const n = read(reader, bytes);
  assert.equal(read(reader, bytes.subarray(n)), 0, 'its end');
  assert.equal(check(), 0n);
  close(reader);
  return bytes.slice(0, n);
}

function loaded({ frontEnd, start, check }: ReturnType<typeof setUp>, bytes: Uint8Array, run = true): bigint {
  const [reader, writer] = pipe();
  given(reader, (fd) => assert.equal(start(LOAD, [fd]), THEIR_PIPE));
  for (let at = 0; at < bytes.length; at += 4096) {
    writeAll(writer, bytes.subarray(at, at + 4096));
    if (run) frontEnd.run();
  }
  close(writer);
  return check();
}

test('the state goes out through a pipe, and into another device', () => {
  const before = openDescriptors();
  const [from, to] = [setUp(), setUp()];
  from.device.loadState({ target: 7, actual: 3 });
  const state = saved(from);
  assert.equal(text(state), '{"version":1,"type":"balloon","state":{"target":7,"actual":3}}');
  assert.equal(loaded(to, state), 0n);
  assert.deepEqual(to.device.saveState(), { target: 7, actual: 3 });
  // Also when all of it comes before the device has looked.
  assert.equal(loaded(to, saved(setUp()), false), 0n);
  assert.equal(to.check(), 1n, 'there is no transfer any more');
  for (const { frontEnd } of [from, to]) frontEnd.close();
  assert.ok(openDescriptors() <= before + 20);
});

test('a state that is of no use changes nothing, and the device says why', () => {
  const it = setUp();
  const state = it.device.saveState();
  const long = new Uint8Array(MAX_DEVICE_STATE + 4096).fill(0x20);
  const other = new TextEncoder().encode('{"version":1,"type":"net","state":{}}');
  for (const bytes of [new Uint8Array(0), other, long]) assert.equal(loaded(it, bytes), 1n);
  assert.deepEqual(it.device.saveState(), state);
  assert.match(
    it.frontEnd.complaints.join('\n'),
    /the state for a balloon device is of no use: it is not that of a balloon/,
  );
  // A pipe whose end has not come, and one that nobody reads.
  const [reader, writer] = pipe();
  given(reader, (fd) => it.start(LOAD, [fd]));
  write(writer, other);
  assert.equal(it.check(), 1n);
  given(writer, () => {});
  const [deaf, mouth] = pipe();
  close(deaf);
  given(mouth, (fd) => assert.equal(it.start(SAVE, [fd]), THEIR_PIPE));
  it.frontEnd.run();
  assert.equal(it.check(), 1n);
  it.frontEnd.close();
});

test('what cannot be is refused, and leaves no descriptor behind', () => {
  const it = setUp();
  const memfd = createMemfd('no pipe', 4096);
  const event = EventFd.create();
  const before = openDescriptors();
  const [reader, writer] = pipe();
  for (const [direction, fds, phase] of [
    [SAVE, [], STOPPED],
    [SAVE, [writer], 1],
    [2, [writer], STOPPED],
    [0xffff_ffff, [writer], STOPPED],
    [SAVE, [dup(memfd)], STOPPED], // which cannot be waited for
    [LOAD, [dup(memfd)], STOPPED],
  ] as [number, number[], number][]) {
    assert.equal(it.start(direction, fds, phase), STATE_REFUSED, `${direction} ${phase}`);
    for (const fd of fds) if (fd !== writer) close(fd);
    assert.equal(it.check(), 1n);
  }
  close(reader);
  close(writer);
  // One that says nothing does not keep the device from anything, and goes with the next one.
  for (let i = 0; i < 100; i++) assert.equal(it.start(LOAD, [event.fd]), THEIR_PIPE);
  assert.equal(it.check(), 1n);
  assert.equal(openDescriptors(), before);
  it.frontEnd.start('split');
  given(dup(event.fd), (fd) => assert.equal(it.start(SAVE, [fd]), STATE_REFUSED, 'while a queue runs'));
  it.frontEnd.close();
  close(memfd);
  event.close();
});
