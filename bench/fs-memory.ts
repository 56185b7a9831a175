/**
 * What a file system device takes for a guest that knows many files, as after a `find`: memory and descriptors.
 *
 *     node bench/fs-memory.ts [--files N] [--json]
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connectStream, streamPair } from '../src/base/unix-stream.ts';
import { FUSE_OPENDIR, FUSE_READDIRPLUS, FUSE_RELEASEDIR } from '../src/fuse/protocol.ts';
import { args, type FuseClient, transferArgs } from '../src/fuse/testing/fuse-client.ts';
import { FrontEnd } from '../src/vhost-user/front-end/front-end.ts';
import { handshake } from '../src/vhost-user/front-end/handshake.ts';
import { MessageChannel } from '../src/vhost-user/message-channel.ts';
import { fuseClientOver } from './fuse-driver.ts';
import { machineLine } from './report.ts';
import { finding, printResult } from './result.ts';

const { values } = parseArgs({
  options: { files: { type: 'string', default: '1000000' }, json: { type: 'boolean', default: false } },
});
const FILES = Number(values.files);
const FILES_OF_A_FOLDER = 1000;
const ROOM = 64 << 10;
const ROOT = 1;

const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : '/var/tmp', 'crosvm-bench-'));
const share = join(folder, 'share');
const socket = join(folder, 'socket');
try {
  mkdirSync(share);
  for (let i = 0; i < FILES; i += FILES_OF_A_FOLDER) {
    const one = join(share, `folder-${i}`);
    mkdirSync(one);
    for (let j = i; j < Math.min(FILES, i + FILES_OF_A_FOLDER); j++) {
      closeSync(openSync(join(one, `a file of ours ${j}`), 'w'));
    }
  }
  const crosvm = join(import.meta.dirname, '..', 'bin', 'crosvm');
  const words = ['device', 'fs', '--socket-path', socket, '--shared-dir', share, '--tag', 'bench'];
  const child = spawn(process.execPath, [crosvm, ...words], { stdio: ['ignore', 'ignore', 'inherit'] });
  while (!existsSync(socket)) await sleep(20);
  const frontEnd = new FrontEnd(new MessageChannel(connectStream(socket), 5000));
  const [requests, theirs] = streamPair();
  await handshake(frontEnd, { backEndChannel: theirs.fd, comesUp: async () => {}, sharesMemory: false });
  theirs.close();
  const client = fuseClientOver(frontEnd);
  client.init();
  const before = anonymousMegabytes(child.pid!);
  const begin = performance.now();
  const found = walk(client, ROOT);
  const seconds = (performance.now() - begin) / 1000;
  const grown = anonymousMegabytes(child.pid!) - before;
  const descriptors = readdirSync(`/proc/${child.pid}/fd`).length;
  requests.close();
  child.kill();
  const findings = [finding('fs-memory', grown), finding('fs-descriptors', descriptors)];
  printResult({ machine: machineLine(), findings, comparisons: [] }, values.json, [
    `${found} files in ${seconds.toFixed(1)} s; the process had ${before.toFixed(0)} MB of its own before.\n`,
  ]);
} finally {
  rmSync(folder, { recursive: true });
}
process.exit();

/** Looks at all that is in a folder, and in those within it; how many files that is. Nothing is forgotten. */
function walk(client: FuseClient, nodeid: number): number {
  const file = Number(client.ask(FUSE_OPENDIR, nodeid, args(0, 0)).getBigUint64(0, true));
  const folders: number[] = [];
  let found = 0;
  for (let cookie = 0n; ; ) {
    const request = transferArgs(file, 0, ROOM - 16);
    new DataView(request.buffer).setBigUint64(8, cookie, true);
    const answer = client.ask(FUSE_READDIRPLUS, nodeid, request, ROOM);
    if (answer.byteLength === 0) break;
    for (let at = 0; at < answer.byteLength; ) {
      const node = Number(answer.getBigUint64(at, true));
      const entry = at + 128;
      cookie = answer.getBigUint64(entry + 8, true);
      if (node !== 0 && answer.getUint32(entry + 20, true) === 4) folders.push(node);
      else if (node !== 0) found++;
      at = entry + ((24 + answer.getUint32(entry + 16, true) + 7) & ~7);
    }
  }
  client.ask(FUSE_RELEASEDIR, nodeid, args(file, 0, 0, 0, 0, 0));
  for (const each of folders) found += walk(client, each);
  return found;
}

/** Memory of a process that no file holds: what it would not have if it knew nothing. */
function anonymousMegabytes(pid: number): number {
  const [, kib] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kib) / 1024;
}
