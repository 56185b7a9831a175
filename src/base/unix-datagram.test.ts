import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { close, read } from './fd.ts';
import { check, libc } from './ffi.ts';
import { unixAddress } from './unix-address.ts';
import { UnixDatagramSink } from './unix-datagram.ts';

const folder = mkdtempSync(join(tmpdir(), 'datagram-test-'));
after(() => rmSync(folder, { recursive: true }));

const SOCK_DGRAM_NONBLOCK = 2 | 0o4000;
const socket = libc<(domain: number, type: number, protocol: number) => number>('int socket(int, int, int)');
const bind = libc<(fd: number, address: Uint8Array, n: number) => number>('int bind(int, const void *, unsigned int)');

test('each write is one datagram, and writing to nobody is harmless', () => {
  const path = join(folder, 'receiver');
  const receiver = check(socket(1, SOCK_DGRAM_NONBLOCK, 0), 'socket');
  const address = unixAddress(path);
  check(bind(receiver, address, address.length), 'bind');
  const sink = new UnixDatagramSink(path);
  sink.write(Uint8Array.of(1, 2));
  sink.write(Uint8Array.of(3));
  const buffer = new Uint8Array(16);
  assert.equal(read(receiver, buffer), 2);
  assert.equal(read(receiver, buffer), 1);
  assert.equal(buffer[0], 3);
  for (let i = 0; i < 10_000; i++) sink.write(buffer);
  close(receiver);
  sink.write(buffer);
  sink.close();
});

test('no receiver is an error at once', () => {
  assert.throws(() => new UnixDatagramSink(join(folder, 'absent')), /connect failed for .*absent: .*\(ENOENT\)/);
});
