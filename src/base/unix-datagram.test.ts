import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DatagramReceiver } from './testing/datagram-receiver.ts';
import { connectDatagrams, UnixDatagramSink } from './unix-datagram.ts';

const folder = mkdtempSync(join(tmpdir(), 'datagram-test-'));
after(() => rmSync(folder, { recursive: true }));

test('each write is one datagram, and writing to nobody is harmless', () => {
  const path = join(folder, 'receiver');
  const receiver = new DatagramReceiver(path);
  const sink = new UnixDatagramSink(connectDatagrams(path));
  sink.write(Uint8Array.of(0x31, 0x32));
  sink.write(Uint8Array.of(0x33));
  assert.deepEqual([receiver.take(), receiver.take(), receiver.take()], ['12', '3', undefined]);
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 10_000; i++) sink.write(bytes);
  receiver.close();
  sink.write(bytes);
  sink.close();
});

test('no receiver is an error at once', () => {
  assert.throws(() => connectDatagrams(join(folder, 'absent')), /connect failed for .*absent: .*\(ENOENT\)/);
});
