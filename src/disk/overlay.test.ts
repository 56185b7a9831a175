import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../base/image-codec.ts';
import { bytesList } from './bytes-list.ts';
import { MemoryStore } from './memory-store.ts';
import { openOverlay } from './overlay.ts';
import { createQcow2 } from './qcow2/create.ts';
import { RawDisk } from './raw.ts';
import { MemoryFiles, readDisk } from './testing.ts';

const SIZE = 300_000;

function base(): RawDisk {
  return new RawDisk(new MemoryStore('base', new Uint8Array(SIZE).fill(7), false));
}

test('what is written to a temporary overlay is not in the base', () => {
  const world = { files: new MemoryFiles(), codec: imageCodec };
  const below = base();
  const disk = openOverlay(world, below, undefined);
  assert.ok(disk.size >= SIZE);
  disk.write(1000, bytesList(new Uint8Array(100).fill(1)));
  disk.discard(0, disk.size);
  disk.write(1000, bytesList(new Uint8Array(100).fill(2)));
  const bytes = readDisk(disk, 990, 20);
  assert.deepEqual([...bytes], [...new Uint8Array(10), ...new Uint8Array(10).fill(2)]);
  assert.deepEqual(readDisk(below), new Uint8Array(SIZE).fill(7));
});

test('an overlay with a path goes on from where it was', () => {
  const world = { files: new MemoryFiles(), codec: imageCodec };
  const disk = openOverlay(world, base(), '/over');
  disk.write(1000, bytesList(new Uint8Array(1000).fill(1)));
  disk.close();
  const again = openOverlay(world, base(), '/over');
  assert.deepEqual([...readDisk(again, 999, 2)], [7, 1]);
  assert.deepEqual([...readDisk(again, 1999, 2)], [1, 7]);
});

test('what cannot be an overlay', () => {
  const small = new MemoryStore('/small');
  createQcow2(small, { size: 512 });
  const other = new MemoryStore('/other', new Uint8Array(1000).fill(1));
  const data = new MemoryStore('/data');
  createQcow2(data, { size: SIZE, dataFile: '/etc/shadow' });
  const world = { files: new MemoryFiles().add(small).add(other).add(data), codec: imageCodec };
  assert.throws(() => openOverlay(world, base(), '/small'), { code: 'E_DISK_OVERLAY', message: /512 bytes/ });
  assert.throws(() => openOverlay(world, base(), '/other'), { code: 'E_DISK_FORMAT' });
  assert.throws(() => openOverlay(world, base(), '/data'), { code: 'E_DISK_OVERLAY', message: /data file/ });
});
