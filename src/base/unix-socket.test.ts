import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connectPacket, MAX_MESSAGE, type PacketConnection, PacketListener } from './unix-socket.ts';

const folder = mkdtempSync(join(tmpdir(), 'socket-test-'));
after(() => rmSync(folder, { recursive: true }));

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (message: Uint8Array | undefined) => message && new TextDecoder().decode(message);

test('synchronous round trip keeps the borders of messages', () => {
  const listener = new PacketListener(join(folder, 'sync'));
  const client = connectPacket(listener.path);
  const server = listener.accept();
  client.send(bytes('one'));
  client.send(bytes('two'));
  assert.equal(text(server.receive()), 'one');
  assert.equal(text(server.receive(0)), 'two');
  assert.throws(() => server.receive(0), { code: 'E_SOCKET_TIMEOUT' });
  client.close();
  assert.equal(server.receive(), undefined);
  assert.throws(() => server.send(bytes('gone')), { errno: 'EPIPE' });
  server.close();
  listener.close();
  assert.equal(existsSync(listener.path), false);
});

test('a server on the event loop answers and sees the end', async () => {
  const listener = new PacketListener(join(folder, 'async'));
  const seen: (string | undefined)[] = [];
  const ended = new Promise<void>((resolve) => {
    listener.onConnection((connection: PacketConnection) => {
      connection.onMessage((message) => {
        seen.push(text(message));
        if (message !== undefined) connection.send(message);
        else {
          connection.close();
          resolve();
        }
      });
    });
  });
  const client = connectPacket(listener.path);
  client.send(bytes('hello'));
  const reply = await new Promise<Uint8Array | undefined>((resolve) => client.onMessage(resolve));
  assert.equal(text(reply), 'hello');
  client.close();
  await ended;
  assert.deepEqual(seen, ['hello', undefined]);
  listener.close();
});

test('a message that is too long is refused', () => {
  const listener = new PacketListener(join(folder, 'long'));
  const client = connectPacket(listener.path);
  const server = listener.accept();
  client.send(new Uint8Array(MAX_MESSAGE));
  assert.equal(server.receive()?.length, MAX_MESSAGE);
  client.send(new Uint8Array(MAX_MESSAGE + 1));
  assert.throws(() => server.receive(), { code: 'E_SOCKET_MESSAGE' });
  for (const end of [client, server, listener]) end.close();
});

test('a path that is taken, too long or impossible is refused, and what is there stays', () => {
  const path = join(folder, 'taken');
  writeFileSync(path, 'mine');
  assert.throws(() => new PacketListener(path), { code: 'E_SOCKET_IN_USE', message: /taken: something is there/ });
  assert.ok(existsSync(path));
  const long = join(folder, 'x'.repeat(108));
  assert.throws(() => new PacketListener(long), { code: 'E_SOCKET_PATH', message: /bytes; the system allows 107/ });
  assert.throws(() => connectPacket(''), { code: 'E_SOCKET_PATH' });
  assert.throws(() => connectPacket('a\0b'), { code: 'E_SOCKET_PATH' });
  assert.throws(() => new PacketListener(join(folder, 'no', 'where')), { errno: 'ENOENT' });
});

test('connecting to nothing says so', () => {
  assert.throws(() => connectPacket(join(folder, 'absent')), /absent: there is no such socket/);
  const path = join(folder, 'file');
  writeFileSync(path, '');
  assert.throws(() => connectPacket(path), /file: nobody listens there/);
});

test('closing leaves alone what another put in its place', () => {
  const listener = new PacketListener(join(folder, 'replaced'));
  rmSync(listener.path);
  const other = new PacketListener(listener.path);
  listener.close();
  assert.ok(existsSync(other.path));
  other.close();
  other.close();
  assert.equal(existsSync(other.path), false);
});
