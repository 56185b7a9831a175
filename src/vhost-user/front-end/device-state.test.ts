import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { close, closeAll, pipe, read, writeAll } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import { MessageChannel } from '../message-channel.ts';
import { encodeMessage, FLAG_REPLY } from '../protocol/message.ts';
import { u64 } from '../protocol/payloads.ts';
import { frontEndRequests } from '../protocol/requests.ts';
import { loadDeviceState, saveDeviceState } from './device-state.ts';
import { FrontEnd } from './front-end.ts';

const openDescriptors = () => readdirSync('/proc/self/fd').length;
const STATE = new TextEncoder().encode('a state');

/** A front end, and a back end that has answered before it is asked: with a pipe of its own, which is the easy way for that. */
function setUp(
  start: bigint,
  end: bigint,
  fds: readonly number[] = [],
): { frontEnd: FrontEnd; peer: StreamConnection } {
  const [ours, peer] = streamPair();
  const answer = (id: number, value: bigint, beside: readonly number[] = []) =>
    peer.send(encodeMessage(id, FLAG_REPLY, u64.encode(value)), beside);
  answer(frontEndRequests.SET_DEVICE_STATE_FD.id, start, fds);
  answer(frontEndRequests.CHECK_DEVICE_STATE.id, end);
  return { frontEnd: new FrontEnd(new MessageChannel(ours, 50)), peer };
}

test('a state is read to its end', () => {
  const before = openDescriptors();
  const [reader, writer] = pipe();
  writeAll(writer, STATE);
  close(writer);
  const { frontEnd } = setUp(0n, 0n, [reader]);
  close(reader);
  assert.deepEqual(saveDeviceState(frontEnd), STATE);
  assert.equal(openDescriptors(), before + 2, 'but for the sockets');
});

test('a state is written, and then comes its end', () => {
  const [reader, writer] = pipe();
  const { frontEnd } = setUp(0n, 0n, [writer]);
  close(writer);
  loadDeviceState(frontEnd, STATE);
  const bytes = new Uint8Array(100);
  assert.equal(read(reader, bytes), STATE.length);
  assert.equal(read(reader, bytes), 0);
  close(reader);
});

test('a back end may refuse, before and after; then no descriptor is left', () => {
  const before = openDescriptors();
  const refused = { code: 'E_VHOST_REFUSED' };
  assert.throws(() => saveDeviceState(setUp(0x101n, 1n).frontEnd), refused);
  assert.throws(() => loadDeviceState(setUp(0x101n, 1n).frontEnd, STATE), refused);
  const [reader, writer] = pipe();
  assert.throws(() => loadDeviceState(setUp(0n, 1n, [writer]).frontEnd, STATE), refused);
  close(writer);
  assert.throws(() => saveDeviceState(setUp(0n, 1n, [reader]).frontEnd), refused);
  close(reader);
  assert.equal(openDescriptors(), before + 8, 'but for the sockets');
});

test('what a back end brings for its state has to be a pipe, and cannot make us wait', () => {
  const before = openDescriptors();
  const file = createMemfd('state', 4096);
  for (const move of [saveDeviceState, (frontEnd: FrontEnd) => loadDeviceState(frontEnd, STATE)]) {
    const { frontEnd, peer } = setUp(0n, 0n, [file]);
    assert.throws(() => move(frontEnd), { code: 'E_VHOST_USER', message: /no pipe/ });
    peer.close();
  }
  close(file);
  const [reader, writer] = pipe();
  assert.throws(() => saveDeviceState(setUp(0n, 1n, [reader]).frontEnd, 50), { message: /not moved .* within 50 ms/ });
  const full = new Uint8Array(1 << 20);
  assert.throws(() => loadDeviceState(setUp(0n, 1n, [writer]).frontEnd, full, 50), {
    message: /not moved .* within 50 ms/,
  });
  closeAll([reader, writer]);
  assert.equal(openDescriptors(), before + 6, 'but for the sockets');
});

test('a state that comes byte by byte, and one without end', () => {
  const [reader, writer] = pipe();
  const { frontEnd } = setUp(0n, 0n, [reader]);
  const program = `for (let i = 0; i < 100; i++) require('node:fs').writeSync(1, Buffer.from([i]));`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', writer, 'inherit'] });
  closeAll([reader, writer]);
  assert.deepEqual(
    [...saveDeviceState(frontEnd)],
    Array.from({ length: 100 }, (_, i) => i),
  );
  const endless = pipe();
  const yes = spawn('cat', ['/dev/zero'], { stdio: ['ignore', endless[1], 'inherit'] });
  const other = setUp(0n, 0n, [endless[0]]).frontEnd;
  closeAll(endless);
  assert.throws(() => saveDeviceState(other), { code: 'E_VHOST_USER', message: /more than 16777216 bytes/ });
  child.kill();
  yes.kill();
});

test('a back end that takes or gives without end is not waited for', () => {
  const { frontEnd, peer } = setUp(0n, 0n);
  peer.close();
  // Our own pipe, whose other end is closed with the message that carried it.
  assert.throws(() => loadDeviceState(frontEnd, STATE));
});
