import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dup } from '../../../base/fd.ts';
import { streamPair } from '../../../base/unix-stream.ts';
import { NO_TRUST } from '../../../disk/image-trust.ts';
import { greetBackEnd } from '../../../vm/devices/connect-device.ts';
import { serveDevice } from './serve.ts';

const folder = mkdtempSync(join(tmpdir(), 'serve-'));
after(() => rmSync(folder, { recursive: true }));

function openSockets(): number {
  const link = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // that of the folder itself
    }
  };
  return readdirSync('/proc/self/fd').filter((fd) => link(fd).startsWith('socket:')).length;
}

test('when a disk by hand has come up, nobody opens files for it any more', async () => {
  const path = join(folder, 'disk');
  writeFileSync(path, Buffer.alloc(65536));
  const [frontEnd, theirs] = streamPair();
  const before = openSockets();
  const disk = {
    ...{ path, trust: NO_TRUST, writable: true, sparse: true, blockSize: 512, id: '', queues: 1 },
    ...{ direct: false, lock: true },
  };
  const said: string[] = [];
  const output = { print: () => {}, error: (line: string) => said.push(line) };
  const options = {
    ...{ socketPath: undefined, fd: dup(theirs.fd), disableSandbox: false },
    ...{ seccompPolicyDir: undefined, seccompLogFailures: false, pivotRoot: undefined },
  };
  theirs.close();
  const status = serveDevice({ kind: 'disk', disk }, options, output as unknown as Parameters<typeof serveDevice>[2]);
  (await greetBackEnd(frontEnd, 'block')).requests.close();
  // What remains are connections to its zygote, and one for what the device says.
  for (let i = 0; i < 500 && openSockets() > before + 1; i++) await sleep(20);
  const sockets = openSockets();
  frontEnd.close();
  assert.equal(sockets, before + 1);
  assert.equal(await status, 0);
  assert.deepEqual(said, []);
});
