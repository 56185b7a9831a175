import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../base/image-codec.ts';
import { bytesList } from '../memory/bytes-list.ts';
import { MemoryStore } from './memory-store.ts';
import { openDisk } from './open-disk.ts';
import { openOverlay } from './overlay.ts';
import { createQcow2 } from './qcow2/create.ts';
import { RawDisk } from './raw.ts';
import { readDisk } from './testing/disk-model.ts';
import { MemoryFiles } from './testing/memory-files.ts';

const SIZE = 300_000;

function base(): RawDisk {
  return new RawDisk(new MemoryStore('/base', new Uint8Array(SIZE).fill(7), false));
}

test('what is written to an overlay is not in the base', () => {
  const below = base();
  const disk = openOverlay(imageCodec, below, new MemoryStore('temporary'));
  assert.ok(disk.size >= SIZE);
  disk.write(1000, bytesList(new Uint8Array(100).fill(1)));
  disk.discard(0, disk.size);
  disk.write(1000, bytesList(new Uint8Array(100).fill(2)));
  const bytes = readDisk(disk, 990, 20);
  assert.deepEqual([...bytes], [...new Uint8Array(10), ...new Uint8Array(10).fill(2)]);
  assert.deepEqual(readDisk(below), new Uint8Array(SIZE).fill(7));
});

test('an overlay goes on from where it was, also to be read only, and is an image by itself', () => {
  const over = new MemoryStore('/over');
  const disk = openOverlay(imageCodec, base(), over, '/base');
  disk.write(1000, bytesList(new Uint8Array(1000).fill(1)));
  disk.close();
  const contents = over.contents();
  const readOnly = () => new MemoryStore('/over', contents, false);
  const files = new MemoryFiles().add(new MemoryStore('/base', new Uint8Array(SIZE).fill(7))).add(readOnly());
  for (const again of [
    openOverlay(imageCodec, base(), over),
    openOverlay(imageCodec, base(), readOnly()),
    openDisk({ files, codec: imageCodec }, '/over'),
  ]) {
    assert.deepEqual([...readDisk(again, 999, 2)], [7, 1]);
    assert.deepEqual([...readDisk(again, 1999, 2)], [1, 7]);
  }
});

test('what an overlay says of a backing file does not count', () => {
  const over = new MemoryStore('/over');
  createQcow2(over, { size: SIZE + 512, backingFile: '/etc/shadow', backingFormat: 'raw' });
  assert.deepEqual([...readDisk(openOverlay(imageCodec, base(), over), 0, 2)], [7, 7]);
});

test('an overlay keeps the size that it was given', () => {
  for (const size of [1024, 2 * 300_032]) {
    const over = new MemoryStore('/over');
    const disk = openOverlay(imageCodec, base(), over);
    disk.resize(size);
    disk.close();
    const again = openOverlay(imageCodec, base(), over);
    assert.equal(again.size, size);
    assert.deepEqual([...readDisk(again, size - 1, 1)], [size < SIZE ? 7 : 0]);
  }
});

test('what cannot be an overlay', () => {
  const other = new MemoryStore('/other', new Uint8Array(1000).fill(1));
  const data = new MemoryStore('/data');
  createQcow2(data, { size: SIZE, dataFile: '/etc/shadow' });
  const nothing = new MemoryStore('/nothing', new Uint8Array(), false);
  const over = (store: MemoryStore) => () => openOverlay(imageCodec, base(), store);
  assert.throws(over(other), { code: 'E_DISK_FORMAT' });
  assert.throws(over(nothing), { code: 'E_DISK_FORMAT' });
  assert.throws(over(data), { code: 'E_DISK_OVERLAY', message: /data file/ });
});
