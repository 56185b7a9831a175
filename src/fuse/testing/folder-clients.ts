import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Folder } from '../../host-folder/folder.ts';
import { openFolder } from '../../host-folder/linux/open-folder.ts';
import { MemoryFolder } from '../../host-folder/memory/memory-folder.ts';
import { DEFAULT_FUSE_OPTIONS, type FuseOptions } from '../fuse-options.ts';
import { FuseServer } from '../fuse-server.ts';
import { directTransport, FuseClient } from './fuse-client.ts';

/** A client of a server of a folder, which has begun. */
export function clientOf(folder: Folder, options: Partial<FuseOptions> = {}): FuseClient {
  const server = new FuseServer(folder, { ...DEFAULT_FUSE_OPTIONS, ...options });
  const client = new FuseClient(directTransport(server));
  client.init();
  return client;
}

/** Runs a test on a folder of the host and on one in memory. */
export function onBoth(name: string, act: (client: FuseClient) => void): void {
  test(`${name} (in memory)`, () => act(clientOf(new MemoryFolder())));
  test(`${name} (of the host)`, () => {
    const path = mkdtempSync(join(tmpdir(), 'crosvm-fuse-'));
    const folder = openFolder(path);
    try {
      act(clientOf(folder));
    } finally {
      folder.close();
      rmSync(path, { recursive: true });
    }
  });
}

/** The error of a request's answer: 0 or a negative errno. Undefined if it is not answered. */
export function errorOf(
  client: FuseClient,
  opcode: number,
  nodeid: number,
  request: Uint8Array,
  room?: number,
): number | undefined {
  return client.call(opcode, nodeid, request, room)?.error;
}
