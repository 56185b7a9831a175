/**
 * The 9P server alone, in this process, on a folder of the host: what a request costs without a queue and a guest.
 *
 *     node bench/p9-server.ts [--requests N]
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { O_RDWR } from '../src/host-folder/constants.ts';
import { openFolder } from '../src/host-folder/linux/open-folder.ts';
import { bytesList } from '../src/memory/bytes-list.ts';
import { DEFAULT_P9_OPTIONS } from '../src/p9/p9-options.ts';
import { P9Server } from '../src/p9/p9-server.ts';
import * as protocol from '../src/p9/protocol.ts';
import { d, directTransport, encode, type Field, P9Client, q, w } from '../src/p9/testing/p9-client.ts';
import { machineLine, table } from './report.ts';

const { values } = parseArgs({ options: { requests: { type: 'string', default: '50000' } } });
const ROUNDS = Number(values.requests);
const BLOCK = 4096;
const BLOCKS = 256;
const [ROOT, FILE, NEW] = [0, 1, 2];

const folder = mkdtempSync(join('/var/tmp', 'crosvm-bench-'));
mkdirSync(join(folder, 'sub'));
writeFileSync(join(folder, 'sub', 'file'), Buffer.alloc(BLOCK * BLOCKS, 7));
const server = new P9Server(openFolder(folder), DEFAULT_P9_OPTIONS);
const client = new P9Client(directTransport(server));
client.start(ROOT, process.geteuid!());
client.walk(ROOT, FILE, 'sub', 'file');
client.open(FILE, O_RDWR);

const answerBytes = new Uint8Array(64 * 1024);
const answer = bytesList(answerBytes);
const message = (type: number, ...fields: readonly Field[]) => bytesList(encode(type, 1, fields));
const block = new Uint8Array(BLOCK);

/** Each: requests that are sent one after the other, again and again. */
const WORK = {
  'walk of two names, getattr, clunk': [
    message(protocol.Twalk, d(ROOT), d(NEW), w(2), 'sub', 'file'),
    message(protocol.Tgetattr, d(NEW), q(protocol.P9_GETATTR_BASIC)),
    message(protocol.Tclunk, d(NEW)),
  ],
  getattr: [message(protocol.Tgetattr, d(FILE), q(protocol.P9_GETATTR_BASIC))],
  'read of 4 KiB': [message(protocol.Tread, d(FILE), q(BLOCK), d(BLOCK))],
  'write of 4 KiB': [message(protocol.Twrite, d(FILE), q(BLOCK), d(BLOCK), block)],
  'walk, create, clunk, unlink': [
    message(protocol.Twalk, d(ROOT), d(NEW), w(0)),
    message(protocol.Tlcreate, d(NEW), 'new', d(O_RDWR), d(0o644), d(0)),
    message(protocol.Tclunk, d(NEW)),
    message(protocol.Tunlinkat, d(ROOT), 'new', d(0)),
  ],
};

const rows = Object.entries(WORK).map(([name, requests]) => {
  const rounds = Math.ceil(ROUNDS / requests.length);
  const run = () => {
    for (let i = 0; i < rounds; i++) for (const request of requests) server.handle(request, answer);
  };
  run(); // to warm up
  if (answerBytes[4] === protocol.Rlerror) throw new Error(`${name}: refused`);
  const before = performance.now();
  run();
  const microseconds = ((performance.now() - before) * 1000) / rounds;
  return [name, microseconds.toFixed(2), Math.round(1e6 / microseconds).toString()];
});
server.close();
rmSync(folder, { recursive: true });
console.log(`${machineLine()}\n\n${table(['requests', 'us for all of them', 'per second'], rows)}`);
