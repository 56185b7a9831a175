import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../../base/image-codec.ts';
import { bytesList } from '../../memory/bytes-list.ts';
import { MemoryStore } from '../memory-store.ts';
import { openDisk } from '../open-disk.ts';
import { readDisk } from '../testing/disk-model.ts';
import { MemoryFiles } from '../testing/memory-files.ts';
import { encodeCompositeIndex, readCompositeIndex } from './composite-index.ts';
import { guidBytes, LINUX_FILESYSTEM } from './gpt.ts';
import { layOutComposite } from './layout.ts';
import { writeFields } from './protobuf.ts';

const GUID = '00112233-4455-6677-8899-aabbccddeeff';

function open(files: MemoryFiles, writable = true) {
  return openDisk({ files, codec: imageCodec }, '/disk', { writable });
}

function parts(): MemoryFiles {
  const components = [
    { path: 'a', offset: 0, writable: false },
    { path: 'b', offset: 4096, writable: true },
    { path: 'c', offset: 20480, writable: false },
  ];
  return new MemoryFiles()
    .add(new MemoryStore('/disk', encodeCompositeIndex({ length: 24576, components })))
    .add(new MemoryStore('/a', new Uint8Array(4096).fill(1), false))
    .add(new MemoryStore('/b', new Uint8Array(8192).fill(2)))
    .add(new MemoryStore('/c', new Uint8Array(1 << 20).fill(3), false));
}

test('parts follow each other; behind a short one there are zeroes', () => {
  const disk = open(parts());
  const expected = new Uint8Array(24576);
  expected.fill(1, 0, 4096);
  expected.fill(2, 4096, 12288);
  expected.fill(3, 20480);
  assert.deepEqual(readDisk(disk), expected);
  assert.deepEqual(readDisk(disk, 4000, 10000), expected.subarray(4000, 14000));
});

test('writes go to parts that may be written, as a whole or not at all', () => {
  const files = parts();
  const disk = open(files);
  disk.write(5000, bytesList(new Uint8Array(100).fill(9)));
  disk.writeZeroes(6000, 100, true);
  const b = readDisk(disk, 4096, 8192);
  assert.deepEqual([b[904], b[1003], b[1004], b[1904]], [9, 9, 2, 0]);
  const before = readDisk(disk);
  for (const offset of [0, 4000, 12200, 13000, 20000]) {
    assert.throws(() => disk.write(offset, bytesList(new Uint8Array(500))), { code: 'E_DISK_READ_ONLY' }, `${offset}`);
  }
  assert.throws(() => disk.discard(24000, 1000), { code: 'E_DISK_RANGE' });
  assert.deepEqual(readDisk(disk), before);
  assert.throws(() => disk.resize(1 << 20), { code: 'E_DISK_RESIZE' });
});

test('an index as it is written and read', () => {
  const index = { length: 2 ** 40, components: [{ path: 'täil', offset: 2 ** 33, writable: true }] };
  assert.deepEqual(readCompositeIndex(new MemoryStore('x', encodeCompositeIndex(index))), index);
});

test('a broken index', () => {
  const good = encodeCompositeIndex({ length: 100, components: [{ path: 'a', offset: 0, writable: false }] });
  for (let length = 15; length < good.length; length++) {
    assert.throws(() => readCompositeIndex(new MemoryStore('x', good.subarray(0, length))), /x: /, `${length} bytes`);
  }
  const index =
    (components: { path: string; offset: number; writable: boolean }[], length = 100) =>
    () =>
      readCompositeIndex(new MemoryStore('x', encodeCompositeIndex({ length, components })));
  const part = (offset: number) => ({ path: 'p', offset, writable: false });
  assert.throws(index([part(0), part(0)]), /two parts begin at offset 0/);
  assert.throws(index([part(100)]), /begins behind the end/);
  assert.throws(
    index(
      Array.from({ length: 1025 }, (_, i) => part(i)),
      9999,
    ),
    /1025 parts/,
  );
  const other = new Uint8Array([...good.subarray(0, 15), ...writeFields([{ number: 1, value: 2 }])]);
  assert.throws(() => readCompositeIndex(new MemoryStore('x', other)), { code: 'E_DISK_UNSUPPORTED' });
  const endless = new Uint8Array([...good.subarray(0, 15), 8, ...new Uint8Array(20).fill(255)]);
  assert.throws(() => readCompositeIndex(new MemoryStore('x', endless)), /more than 53 bits/);
  assert.throws(() => readCompositeIndex(new MemoryStore('x', new Uint8Array(2 << 20))), /2097152 bytes/);
});

test('a part may not lie outside of the folder, nor be the disk itself', () => {
  for (const [path, message] of [
    ['../etc/shadow', /outside/],
    ['disk', /in a circle/],
  ] as const) {
    const files = new MemoryFiles().add(new MemoryStore('/etc/shadow', new Uint8Array(512)));
    const bytes = encodeCompositeIndex({ length: 100, components: [{ path, offset: 0, writable: true }] });
    files.add(new MemoryStore('/images/disk', bytes));
    assert.throws(() => openDisk({ files, codec: imageCodec }, '/images/disk'), { message });
  }
});

test('the layout of a new disk', () => {
  const image = (label: string, size: number, writable: boolean) => {
    return { label, path: label, size, writable, type: LINUX_FILESYSTEM, guid: GUID };
  };
  const names = { header: 'h', footer: 'f', filler: 'z' };
  const lay = (...images: ReturnType<typeof image>[]) => layOutComposite(images, names, GUID);
  const { index, header, footer } = lay(image('one', 5000, false), image('two', 8192, true));
  assert.equal(index.length, 65536);
  assert.deepEqual(
    index.components.map(({ path, offset }) => [path, offset]),
    [
      ['h', 0],
      ['one', 20480],
      ['z', 25480],
      ['two', 28672],
      ['z', 36864],
      ['f', 65536 - 33 * 512],
    ],
  );
  const text = (bytes: Uint8Array) => new TextDecoder('latin1').decode(bytes);
  assert.equal(text(header.subarray(512, 520)), 'EFI PART');
  assert.equal(text(footer.subarray(32 * 512, 32 * 512 + 8)), 'EFI PART');
  assert.throws(() => lay(image('one', 5000, true)), /multiple of 4096/);
  assert.throws(() => lay(image('one', 4096, true), image('one', 4096, true)), /same|two partitions/);
  assert.throws(() => lay(), /needs a partition/);
});

test('the byte order of a GUID', () => {
  const hex = Buffer.from(guidBytes(GUID)).toString('hex');
  assert.equal(hex, '33221100554477668899aabbccddeeff');
});
