/**
 * A client that does what it likes, of a folder of the host in which somebody else swaps folders for links to the outside. Its
 * server may refuse what it likes, and touch nothing outside of the folder.
 */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../../e2e/differential/random.ts';
import { DEFAULT_FUSE_OPTIONS, type FuseOptions } from '../../src/fuse/fuse-options.ts';
import { FuseServer } from '../../src/fuse/fuse-server.ts';
import { directTransport, FuseClient } from '../../src/fuse/testing/fuse-client.ts';
import type { Folder } from '../../src/host-folder/folder.ts';
import { openFolder } from '../../src/host-folder/linux/open-folder.ts';
import { MemoryFolder } from '../../src/host-folder/memory/memory-folder.ts';
import { bytesList } from '../../src/memory/bytes-list.ts';
import { hostileRequest } from './hostile-request.ts';
import { MadeUpTree } from './made-up-tree.ts';

const REQUESTS = 400;
const SECRET = 'nobody reads or writes this';
const CANARY = 0xa5;
/** What one request may take, in milliseconds. */
const LIMIT = 5000;
/** More than one program can have open. */
const MAX_DESCRIPTORS = 1000;

function folderOf(random: Random, share: string): Folder {
  if (random.chance(0.8)) return openFolder(share, { rewriteSecurity: random.chance(0.3) });
  return random.chance(0.6) ? new MemoryFolder(1 << 20) : new MadeUpTree();
}

/** Runs the program of a seed. Returns what the server did wrong; undefined if nothing. */
export function runHostileClient(seed: number): string | undefined {
  const random = new Random(seed);
  const outside = mkdtempSync(join(tmpdir(), 'crosvm-fuzz-'));
  const share = join(outside, 'share');
  mkdirSync(join(share, 'sub'), { recursive: true });
  mkdirSync(join(outside, 'elsewhere'));
  for (const path of ['secret', 'elsewhere/a', 'elsewhere/b']) writeFileSync(join(outside, path), SECRET);
  symlinkSync('../secret', join(share, 'link'));
  symlinkSync('..', join(share, 'up'));
  const before = stateOf(outside);
  const descriptors = openDescriptors();
  const folder = folderOf(random, share);
  try {
    const problem = attack(random, folder, share);
    if (problem !== undefined) return problem;
    folder.close();
    const left = openDescriptors() - descriptors;
    if (left > 0) return `${left} descriptors are left open`;
    return stateOf(outside) === before ? undefined : 'what is outside of the folder has changed';
  } catch (error) {
    return error instanceof Error ? error.stack : String(error);
  } finally {
    process.umask(0o22);
    rmSync(outside, { recursive: true });
  }
}

function attack(random: Random, folder: Folder, share: string): string | undefined {
  const server = new FuseServer(folder, options(random));
  new FuseClient(directTransport(server)).init(random.pick([31, 37, 41]));
  for (let i = 0; i < REQUESTS; i++) {
    if (random.chance(0.1)) disturb(random, share);
    const answer = new Uint8Array(random.pick([0, 10, 16, 24, 144, 200, 4096, 8192]) + 8).fill(CANARY);
    const output = bytesList(answer.subarray(0, -8));
    const before = performance.now();
    const written = server.handle(bytesList(hostileRequest(random, i + 1)), output);
    if (performance.now() - before > LIMIT) return `request ${i} took too long`;
    if (written > output.length) return `request ${i} has an answer of ${written} bytes in ${output.length}`;
    if (answer.subarray(-8).some((byte) => byte !== CANARY)) return `request ${i} has written beyond its answer`;
    if (Buffer.from(answer).includes(SECRET)) return `request ${i} was answered with what is outside of the folder`;
    if (openDescriptors() > MAX_DESCRIPTORS) return 'too many descriptors';
  }
  return undefined;
}

function options(random: Random): FuseOptions {
  return {
    ...DEFAULT_FUSE_OPTIONS,
    cache: random.pick(['never', 'auto', 'always'] as const),
    writeback: random.chance(0.3),
    asciiCasefold: random.chance(0.3),
    negativeTimeout: random.below(2),
    readOnly: random.chance(0.1),
  };
}

/** Somebody else on the host: what was a folder is a link to elsewhere, and the other way round. */
function disturb(random: Random, share: string): void {
  const [from, to] = [
    join(share, random.pick(['sub', 'a', 'b'])),
    join(share, random.pick(['sub', 'a', 'b', 'moved'])),
  ];
  try {
    if (random.chance(0.5)) renameSync(from, to);
    else {
      rmSync(from, { recursive: true, force: true });
      if (random.chance(0.5)) symlinkSync('../elsewhere', from);
      else mkdirSync(from);
    }
  } catch {
    // as it goes
  }
}

/** What is outside of the share, but for the times of its folder. */
function stateOf(outside: string): string {
  const files = ['secret', 'elsewhere/a', 'elsewhere/b'].map((path) => {
    const { mode, uid, gid, nlink, mtimeMs } = lstatSync(join(outside, path));
    return [readFileSync(join(outside, path), 'utf8'), mode, uid, gid, nlink, mtimeMs];
  });
  return JSON.stringify([readdirSync(outside), readdirSync(join(outside, 'elsewhere')), files]);
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
