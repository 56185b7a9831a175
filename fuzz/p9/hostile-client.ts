/** A client of 9P that sends requests that are half right. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../../e2e/differential/random.ts';
import type { Folder } from '../../src/host-folder/folder.ts';
import { openFolder } from '../../src/host-folder/linux/open-folder.ts';
import { MemoryFolder } from '../../src/host-folder/memory/memory-folder.ts';
import { ScatterList } from '../../src/memory/scatter-list.ts';
import { P9Server } from '../../src/p9/p9-server.ts';
import * as protocol from '../../src/p9/protocol.ts';
import { d, encode, type Field, P9Answer, q, w } from '../../src/p9/testing/p9-client.ts';

const REQUESTS = 300;
const TOO_LONG_MS = 10_000;
/** What memory around that for the answer is filled with. */
const CANARY = 0xa5;
const MARGIN = 64;

/** Fields: f fid, n name, W names, b, d and q numbers of 8, 32 and 64 bits, D data. */
const FORMATS: Readonly<Record<number, string>> = {
  [protocol.Tversion]: 'dn',
  [protocol.Tauth]: 'fnnd',
  [protocol.Tattach]: 'ffnnd',
  [protocol.Tflush]: 'd',
  [protocol.Twalk]: 'ffW',
  [protocol.Tclunk]: 'f',
  [protocol.Tremove]: 'f',
  [protocol.Tsymlink]: 'fnnd',
  [protocol.Tmknod]: 'fndddd',
  [protocol.Tmkdir]: 'fndd',
  [protocol.Tlink]: 'ffn',
  [protocol.Tunlinkat]: 'fnd',
  [protocol.Trename]: 'ffn',
  [protocol.Trenameat]: 'fnfn',
  [protocol.Tgetattr]: 'fq',
  [protocol.Tsetattr]: 'fddddqqqqq',
  [protocol.Treadlink]: 'f',
  [protocol.Tstatfs]: 'f',
  [protocol.Txattrwalk]: 'ffn',
  [protocol.Txattrcreate]: 'fnqd',
  [protocol.Tlopen]: 'fd',
  [protocol.Tlcreate]: 'fnddd',
  [protocol.Tread]: 'fqd',
  [protocol.Twrite]: 'fqD',
  [protocol.Tfsync]: 'fd',
  [protocol.Treaddir]: 'fqd',
  [protocol.Tlock]: 'fbdqqdn',
  [protocol.Tgetlock]: 'fbqqdn',
};
const TYPES = Object.keys(FORMATS).map(Number);

const NAMES = ['a', 'b', 'c', 'user.x', 'user.y', '..', '.', '', 'a/b', '../secret', 'x\0y', 'n'.repeat(255), '/'];
const LONG_NAMES = ['n'.repeat(256), 'n'.repeat(4096), 'n'.repeat(65535)];
const NUMBERS = [0, 1, 2, 3, 7, 0o100, 0o101, 0o644, 0o755, 0o1001, 0o2002, 0x200, 0o10644, 0o40755, 4096, 65536];
const ODD_NUMBERS = [0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
const ODD_OFFSETS = [2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];

/** Runs the program of a seed; what went wrong, or undefined. */
export function runHostileClient(seed: number): string | undefined {
  const random = new Random(seed);
  const started = performance.now();
  try {
    if (random.chance(0.5)) attack(random, new MemoryFolder());
    else attackHost(random);
  } catch (error) {
    return error instanceof Error ? error.stack! : String(error);
  }
  const took = performance.now() - started;
  return took > TOO_LONG_MS ? `took ${Math.round(took)} ms` : undefined;
}

/** A folder of the host, beside which nothing may change, and of which nothing may stay open. */
function attackHost(random: Random): void {
  const outside = mkdtempSync(join(tmpdir(), 'crosvm-fuzz-p9-'));
  try {
    mkdirSync(join(outside, 'share'));
    writeFileSync(join(outside, 'secret'), 'secret');
    const before = readdirSync('/proc/self/fd').length;
    attack(random, openFolder(join(outside, 'share')));
    const left = readdirSync('/proc/self/fd').length - before;
    if (left > 0) throw new Error(`${left} descriptors stayed open`);
    const around = readdirSync(outside).sort().join();
    if (around !== 'secret,share' || readFileSync(join(outside, 'secret'), 'utf8') !== 'secret') {
      throw new Error(`the folder around the shared one became ${around}`);
    }
  } finally {
    rmSync(outside, { recursive: true });
  }
}

function attack(random: Random, folder: Folder): void {
  const server = new P9Server(folder, { readOnly: random.chance(0.1), asciiCasefold: random.chance(0.2) });
  const start = [
    encode(protocol.Tversion, 0, [d(4096 + random.below(2 ** 17)), protocol.VERSION]),
    encode(protocol.Tattach, 0, [d(0), d(protocol.NOFID), '', '', d(0)]),
  ];
  for (const message of start) send(random, server, message, 4096);
  for (let i = 0; i < REQUESTS; i++) {
    const type = random.chance(0.02) ? random.below(256) : random.pick(TYPES);
    // A new beginning is rare, as it ends all that was built up.
    if (type === protocol.Tversion && random.chance(0.9)) continue;
    const fields = [...(FORMATS[type] ?? 'dq')].flatMap((letter) => field(random, letter));
    const message = encode(type, random.below(0x10000), fields);
    if (random.chance(0.05)) spoil(random, message);
    const length = random.chance(0.03) ? random.below(message.length + 1) : message.length;
    send(random, server, message.subarray(0, length), random.chance(0.9) ? 8192 : random.below(200));
  }
  server.reset();
  server.close();
}

function field(random: Random, letter: string): Field[] {
  const number = () => (random.chance(0.95) ? random.pick(NUMBERS) : random.pick(ODD_NUMBERS));
  const name = () => (random.chance(0.98) ? random.pick(NAMES) : random.pick(LONG_NAMES));
  switch (letter) {
    case 'f':
      return [d(random.chance(0.97) ? random.below(8) : number())];
    case 'n':
      return [name()];
    case 'W': {
      const names = Array.from({ length: random.chance(0.5) ? 1 : random.below(18) }, name);
      return [w(names.length), ...names];
    }
    case 'b':
      return [['b', random.below(4)]];
    case 'q':
      return [q(random.chance(0.9) ? random.pick(NUMBERS) : random.pick(ODD_OFFSETS))];
    case 'D': {
      const data = new Uint8Array(random.below(5000));
      return [d(random.chance(0.95) ? data.length : number()), data];
    }
    default:
      return [d(number())];
  }
}

function spoil(random: Random, message: Uint8Array): void {
  for (let i = 1 + random.below(4); i > 0; i--) message[random.below(message.length)] = random.u32();
}

/** Sends a message in pieces, and checks that the answer is one and lies where it belongs. */
function send(random: Random, server: P9Server, message: Uint8Array, room: number): void {
  const memory = new Uint8Array(room + 2 * MARGIN).fill(CANARY);
  const length = server.handle(pieces(random, message, 0, message.length), pieces(random, memory, MARGIN, room));
  if (length > room) throw new Error(`an answer of ${length} bytes where there is room for ${room}`);
  const around = [...memory.subarray(0, MARGIN), ...memory.subarray(MARGIN + room)];
  if (around.some((byte) => byte !== CANARY)) throw new Error('memory around the answer was written');
  if (length > 0) checkAnswer(message, memory.subarray(MARGIN, MARGIN + length));
  else if (message.length >= protocol.HEADER_SIZE && room === 8192) throw new Error('no answer');
}

function checkAnswer(message: Uint8Array, bytes: Uint8Array): void {
  const answer = new P9Answer(bytes);
  const asked = new DataView(message.buffer, message.byteOffset);
  if (answer.tag !== asked.getUint16(5, true)) throw new Error(`the answer to ${answer.tag}`);
  if (answer.type !== protocol.Rlerror && answer.type !== asked.getUint8(4) + 1) throw new Error(`a ${answer.type}`);
  // Numbers that Linux has; 0 says that nobody needs to authenticate.
  if (answer.error > 133) throw new Error(`errno ${answer.error}`);
}

function pieces(random: Random, bytes: Uint8Array, start: number, length: number): ScatterList {
  const list = new ScatterList();
  const memory = { bytes, address: 0 };
  for (let at = 0; at < length; ) {
    const size = random.chance(0.5) ? length - at : Math.min(length - at, 1 + random.below(40));
    list.add(memory, start + at, size);
    at += size;
  }
  return list;
}
