import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ScatterList } from '../memory/scatter-list.ts';
import { dup } from './fd.ts';
import { connectStream, StreamListener } from './unix-stream.ts';
import { unixVsockHost } from './unix-vsock-host.ts';

const folder = mkdtempSync(join(tmpdir(), 'vsock-test-'));
after(() => rmSync(folder, { recursive: true }));

test('services are found by their ports, and programs of the host are let in', () => {
  const path = join(folder, 'vm');
  const listener = new StreamListener(path);
  const host = unixVsockHost(path, dup(listener.fd));
  const service = new StreamListener(`${path}_5000`);
  const list = new ScatterList();
  list.add({ bytes: new TextEncoder().encode('hello'), address: 0 }, 0, 5);
  assert.equal(host.connect(5001), undefined);
  const stream = host.connect(5000)!;
  const server = service.accept();
  assert.equal(stream.read(list), -1);
  assert.equal(stream.write(list, 1), 4);
  const bytes = new Uint8Array(10);
  assert.equal(server.receive(bytes, 0, 10, []), 4);
  stream.endWriting();
  assert.equal(server.receive(bytes, 0, 10, []), 0);
  server.send(Uint8Array.of(1));
  assert.equal(stream.read(list), 1);
  server.close();
  assert.equal(stream.read(list), 0);
  stream.endWriting();
  stream.close();

  assert.equal(host.accept(), undefined);
  const client = connectStream(path);
  const accepted = host.accept()!;
  client.send(Uint8Array.of(7));
  assert.equal(accepted.read(list), 1);
  accepted.close();
  client.close();
  service.close();
  host.close();
  listener.close();
  assert.deepEqual(readdirSync(folder), []);
});
