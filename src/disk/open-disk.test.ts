import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../base/image-codec.ts';
import { bytesList } from '../memory/bytes-list.ts';
import { Extent, Place } from './disk.ts';
import { type ImageTrust, NO_TRUST } from './image-trust.ts';
import { MemoryStore } from './memory-store.ts';
import { openDisk } from './open-disk.ts';
import { type CreateOptions, createQcow2 } from './qcow2/create.ts';
import { readDisk } from './testing/disk-model.ts';
import { MemoryFiles } from './testing/memory-files.ts';

const SIZE = 1 << 20;

function image(files: MemoryFiles, path: string, options: Partial<CreateOptions>): MemoryStore {
  const store = new MemoryStore(path);
  createQcow2(store, { size: SIZE, ...options });
  files.add(store);
  return store;
}

/** An image over `backingFile`, opened. */
function overlay(backingFile: string, trust: Partial<ImageTrust> = {}, backingFormat = 'raw') {
  const files = new MemoryFiles().add(new MemoryStore('/images/base', new Uint8Array(SIZE).fill(7)));
  files.add(new MemoryStore('/etc/shadow', new Uint8Array(512)));
  image(files, '/images/top', { backingFile, backingFormat });
  return openDisk({ files, codec: imageCodec }, '/images/top', { trust: { ...NO_TRUST, ...trust } });
}

test('a backing file beside the image', () => {
  const disk = overlay('base');
  assert.equal(disk.format, 'qcow2');
  assert.deepEqual(readDisk(disk), new Uint8Array(SIZE).fill(7));
  const extent = new Extent();
  disk.locate(4096, 100, extent);
  assert.deepEqual([extent.kind, extent.depth, extent.offset, extent.length], ['data', 1, 4096, 100]);
});

test('a backing file elsewhere only for an image that is trusted', () => {
  for (const name of ['/etc/shadow', '../etc/shadow', './../etc/../etc/shadow']) {
    assert.throws(() => overlay(name), { code: 'E_DISK_TRUST', message: /outside of the image's folder/ }, name);
    assert.equal(overlay(name, { outside: true }).size, SIZE);
  }
});

test('a backing file is a file, not an address', () => {
  for (const name of [
    'nbd:localhost:10809',
    'json:{"driver":"file"}',
    'http://10.0.0.1/disk',
    'fat:/etc',
    'file:base',
  ]) {
    assert.throws(() => overlay(name, { outside: true }), { code: 'E_DISK_UNSUPPORTED', message: /is no file/ }, name);
  }
  assert.throws(() => overlay('missing'), { code: 'E_FILE_OPEN' });
});

test('the format of a backing file is guessed only on request', () => {
  const files = new MemoryFiles().add(new MemoryStore('/base', new Uint8Array(512)));
  const top = image(files, '/top', { backingFile: 'base', backingFormat: 'raw' });
  // Without its extension the header says nothing of the format: the type becomes one that nobody knows.
  top.write(112, new Uint8Array([1, 2, 3, 4]));
  const world = { files, codec: imageCodec };
  assert.throws(() => openDisk(world, '/top'), { message: /does not say the format of its backing file/ });
  assert.equal(openDisk(world, '/top', { trust: { ...NO_TRUST, probe: true } }).size, SIZE);
  assert.throws(() => overlay('base', {}, 'vmdk'), { message: /format "vmdk" of its backing file is not supported/ });
});

test('a raw backing file with the mark of another format stays raw', () => {
  const files = new MemoryFiles();
  const base = image(files, '/base', { backingFile: '/etc/shadow', backingFormat: 'raw' });
  image(files, '/top', { backingFile: 'base', backingFormat: 'raw' });
  const disk = openDisk({ files, codec: imageCodec }, '/top');
  assert.deepEqual(readDisk(disk, 0, 512), base.contents().subarray(0, 512));
});

test('chains that come back to themselves', () => {
  const files = new MemoryFiles();
  image(files, '/self', { backingFile: 'self', backingFormat: 'qcow2' });
  image(files, '/a', { backingFile: 'b', backingFormat: 'qcow2' });
  image(files, '/b', { backingFile: 'a', backingFormat: 'qcow2' });
  for (let i = 0; i < 70; i++) image(files, `/long${i}`, { backingFile: `long${i + 1}`, backingFormat: 'qcow2' });
  const world = { files, codec: imageCodec };
  assert.throws(() => openDisk(world, '/self'), { message: /refers to itself in a circle/ });
  assert.throws(() => openDisk(world, '/a'), { message: /refers to itself in a circle/ });
  assert.throws(() => openDisk(world, '/long0'), { message: /nested more than 64 deep/ });
});

test('a data file only for an image that is trusted', () => {
  const files = new MemoryFiles().add(new MemoryStore('/secret', new Uint8Array(SIZE).fill(9)));
  image(files, '/top', { dataFile: 'secret', dataFileRaw: true });
  const world = { files, codec: imageCodec };
  assert.throws(() => openDisk(world, '/top'), { code: 'E_DISK_TRUST', message: /allow "data-file"/ });
  const disk = openDisk(world, '/top', { writable: true, trust: { ...NO_TRUST, dataFile: true } });
  disk.write(512, bytesList(new Uint8Array(512).fill(1)));
  disk.flush();
  assert.deepEqual(readDisk(disk, 0, 2048).subarray(512, 1024), new Uint8Array(512).fill(1));
});

test('formats by their first bytes', () => {
  const open = (contents: string, format?: 'raw') => {
    const bytes = new Uint8Array(4096);
    bytes.set(Uint8Array.from(contents, (c) => c.charCodeAt(0)));
    const files = new MemoryFiles().add(new MemoryStore('/x', bytes));
    return openDisk({ files, codec: imageCodec }, '/x', { format });
  };
  assert.equal(open('').format, 'raw');
  assert.equal(open('\x28\xb5\x2f\xfd a frame without a seek table').format, 'raw');
  assert.throws(() => open('KDMV'), { code: 'E_DISK_UNSUPPORTED', message: /looks like a VMDK image.*say format=raw/ });
  assert.equal(open('KDMV', 'raw').format, 'raw');
  assert.throws(() => open('QFI\xfb\0\0\0\x01'), { message: /qcow2 version 1 is not supported/ });
});

test('a guest cannot make its raw disk look like an image, unless the format was given', () => {
  const magic = Uint8Array.from('QFI\xfb', (c) => c.charCodeAt(0));
  const head = new Uint8Array(512);
  head.set(magic);
  for (const format of [undefined, 'raw'] as const) {
    const files = new MemoryFiles().add(new MemoryStore('/x', new Uint8Array(4096)));
    const disk = openDisk({ files, codec: imageCodec }, '/x', { format, writable: true });
    const write = () => disk.write(0, bytesList(head));
    if (format === 'raw') write();
    else {
      assert.throws(write, { code: 'E_DISK_PROBED' });
      assert.throws(() => disk.write(0, bytesList(magic)), { code: 'E_DISK_PROBED' });
      disk.write(0, bytesList(new Uint8Array(512).fill(1)));
      assert.equal(disk.placeOf(true, 0, 512, new Place()), false);
      assert.equal(disk.placeOf(false, 0, 512, new Place()), true);
    }
  }
});
