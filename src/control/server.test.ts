import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { CrosvmError } from '../errors.ts';
import type { VmRequest } from './messages.ts';
import { ControlServer, controlSocketPath, type RequestHandler } from './server.ts';

/** Sends packets from another thread (the client blocks) and gives the answers back, or the error's message. */
async function exchange(path: string, packets: (string | number)[]): Promise<unknown> {
  const source = `
    import { parentPort } from 'node:worker_threads';
    const { connectPacket } = await import(${JSON.stringify(import.meta.resolve('../base/unix-socket.ts'))});
    const answers = [];
    try {
      const connection = connectPacket(${JSON.stringify(path)});
      for (const p of ${JSON.stringify(packets)}) {
        connection.send(typeof p === 'number' ? new Uint8Array(p) : new TextEncoder().encode(p));
        const answer = connection.receive(5000);
        answers.push(answer === undefined ? 'closed' : new TextDecoder().decode(answer));
      }
      connection.close();
    } catch (error) { answers.push(error.code); }
    parentPort.postMessage(answers);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  const [answers] = await once(worker, 'message');
  return answers;
}

async function withServer(handler: RequestHandler, run: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-control-'));
  const path = join(folder, 'vm.sock');
  const server = new ControlServer(path, handler);
  try {
    await run(path);
  } finally {
    server.close();
    assert.equal(existsSync(path), false);
    rmSync(folder, { recursive: true });
  }
}

test('requests are answered in order on one connection', async () => {
  const seen: VmRequest[] = [];
  const handler: RequestHandler = (request) => {
    seen.push(request);
    if (seen.length === 2) throw new CrosvmError('E_X', 'not twice');
    return 'Ok';
  };
  await withServer(handler, async (path) => {
    assert.deepEqual(await exchange(path, ['"Exit"', '"Exit"']), ['"Ok"', '{"Err":"not twice"}']);
    assert.deepEqual(seen[0], { name: 'Exit', payload: undefined });
  });
});

test('nonsense is answered with Err, and the connection goes on', async () => {
  await withServer(
    () => 'Ok',
    async (path) => {
      assert.deepEqual(await exchange(path, ['"Explode"', '{', '"Exit"']), [
        '{"Err":"unknown request \\"Explode\\""}',
        '{"Err":"message is not JSON"}',
        '"Ok"',
      ]);
    },
  );
});

test('a packet that is too large ends the connection, not the server', async () => {
  await withServer(
    () => 'Ok',
    async (path) => {
      assert.deepEqual(await exchange(path, [70_000]), ['closed']);
      assert.deepEqual(await exchange(path, ['"Exit"']), ['"Ok"']);
    },
  );
});

test('a path in use is refused and what is there stays', async () => {
  await withServer(
    () => 'Ok',
    async (path) => {
      assert.throws(() => new ControlServer(path, () => 'Ok'), { code: 'E_SOCKET_IN_USE' });
      assert.deepEqual(await exchange(path, ['"Exit"']), ['"Ok"']);
    },
  );
});

test('a folder gets a socket named after the process', () => {
  assert.equal(controlSocketPath('/', 42), '/crosvm-42.sock');
  assert.equal(controlSocketPath('/nowhere/x.sock', 42), '/nowhere/x.sock');
  assert.equal(controlSocketPath('a\0b', 42), 'a\0b');
});
