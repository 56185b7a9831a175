import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { read, setNonBlocking } from '../base/fd.ts';
import { connectSyslog } from '../base/syslog.ts';
import { DatagramReceiver } from '../base/testing/datagram-receiver.ts';
import { connectDatagrams } from '../base/unix-datagram.ts';
import { SOCK_STREAM, unixPair } from '../base/unix-listener.ts';
import { DeviceHarness } from '../virtio/testing/device-harness.ts';
import { createConsole } from './create-console.ts';
import type { ConsoleOutputSpec } from './device-spec.ts';

const folder = mkdtempSync(join(tmpdir(), 'create-console-'));
after(() => rmSync(folder, { recursive: true }));

const OUTPUT_QUEUE = 1;

/** A console that writes to `output`. */
function consoleWith(output: ConsoleOutputSpec): { say: (text: string) => boolean; harness: DeviceHarness } {
  const { device } = createConsole({
    type: 'console',
    ports: [{ name: '', isConsole: true, input: undefined, output }],
  });
  const harness = new DeviceHarness(device, 'split');
  const say = (text: string) =>
    harness.tryRequest(OUTPUT_QUEUE, { readable: [new TextEncoder().encode(text)] }) !== undefined;
  return { say, harness };
}

test('output as datagrams, and as lines of the system log', () => {
  const path = join(folder, 'receiver');
  const receiver = new DatagramReceiver(path);
  const datagrams = consoleWith({ kind: 'datagrams', fd: connectDatagrams(path) });
  datagrams.say('some bytes');
  assert.equal(receiver.take(), 'some bytes');
  const log = consoleWith({ kind: 'syslog', fd: connectSyslog(path)!, tag: 'crosvm console2' });
  log.say('one line\nand a ');
  log.say('half');
  assert.equal(receiver.take(), '<14>crosvm console2: one line');
  assert.equal(receiver.take(), undefined);
  log.harness.device.close();
  assert.equal(receiver.take(), '<14>crosvm console2: and a half');
  receiver.close();
  assert.ok(log.say('to nobody'));
  assert.equal(connectSyslog(join(folder, 'none')), undefined);
});

test('output that others have open too waits for its reader without blocking, whatever it is set to', () => {
  const [ours, its] = unixPair(SOCK_STREAM);
  setNonBlocking(ours, true);
  const { say, harness } = consoleWith({ kind: 'stream', fd: its });
  const text = 'x'.repeat(10_000);
  let said = 0;
  while (say(text)) said += text.length;
  assert.deepEqual(harness.watched, [its]);
  const buffer = new Uint8Array(65536);
  let got = 0;
  const drain = () => {
    for (let n = read(ours, buffer); n > 0; n = read(ours, buffer)) got += n;
  };
  drain();
  harness.ready(its, 4);
  drain();
  assert.equal(got, said + text.length);
  harness.device.close();
});
