import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { imageCodec } from '../base/image-codec.ts';
import { MemoryStore } from './memory-store.ts';
import { openDisk } from './open-disk.ts';
import { RawDisk } from './raw.ts';
import { readDisk } from './testing/disk-model.ts';
import { MemoryFiles } from './testing/memory-files.ts';
import { Random } from './testing/random.ts';
import { zstdFrameLength } from './zstd-frame.ts';
import { ZstdDisk } from './zstd-seekable.ts';
import { writeZstd } from './zstd-writer.ts';

function contents(length: number): Uint8Array {
  const random = new Random(1);
  return Uint8Array.from({ length }, () => random.below(4));
}

/** A seekable file of frames of `frameSize` bytes. */
function seekable(bytes: Uint8Array, frameSize: number, checksums = false): Uint8Array {
  const frames: Uint8Array[] = [];
  const entries: number[] = [];
  for (let at = 0; at < bytes.length; at += frameSize) {
    const part = bytes.subarray(at, at + frameSize);
    const frame = zstdCompressSync(part);
    frames.push(frame);
    entries.push(frame.length, part.length, ...(checksums ? [0] : []));
  }
  const table = new DataView(new ArrayBuffer(8 + entries.length * 4 + 9));
  table.setUint32(0, 0x184d2a5e, true);
  table.setUint32(4, table.byteLength - 8, true);
  for (const [i, entry] of entries.entries()) table.setUint32(8 + i * 4, entry, true);
  table.setUint32(table.byteLength - 9, frames.length, true);
  table.setUint8(table.byteLength - 5, checksums ? 0x80 : 0);
  table.setUint32(table.byteLength - 4, 0x8f92eab1, true);
  return Buffer.concat([...frames, new Uint8Array(table.buffer)]);
}

const open = (bytes: Uint8Array) => new ZstdDisk(new MemoryStore('x', bytes), imageCodec);

test('reads across frames, with and without checksums', () => {
  const bytes = contents(100_000);
  for (const checksums of [false, true]) {
    const files = new MemoryFiles().add(new MemoryStore('/x', seekable(bytes, 8192, checksums)));
    const disk = openDisk({ files, codec: imageCodec }, '/x');
    assert.equal(disk.format, 'zstd');
    assert.deepEqual(readDisk(disk), bytes);
    for (const [offset, length] of [
      [8191, 2],
      [0, 1],
      [99_999, 1],
      [5000, 50_000],
    ] as const) {
      assert.deepEqual(readDisk(disk, offset, length), bytes.subarray(offset, offset + length));
    }
  }
});

test('bad seek tables', () => {
  const good = seekable(contents(20_000), 8192);
  const changed = (fromEnd: number, value: number) => {
    const bytes = Uint8Array.from(good);
    new DataView(bytes.buffer).setUint32(bytes.length - fromEnd, value, true);
    return bytes;
  };
  const size = 9 + 3 * 8;
  assert.throws(() => open(changed(4, 1)), /no seek table/);
  assert.throws(() => open(changed(9, 0xffff_ffff)), /4294967295 frames/);
  assert.throws(() => open(changed(9, 2)), /no proper header/);
  assert.throws(() => open(changed(size, 1 << 30)), /overlap/);
  assert.throws(() => open(changed(size - 4, 1 << 30)), /more than 16777216/);
  assert.throws(() => open(good.subarray(good.length - 12)), /too short/);
});

test('frames that are not what the table says, and bombs', () => {
  const bomb = zstdCompressSync(new Uint8Array(64 << 20));
  const table = seekable(contents(1000), 1000);
  const tail = Uint8Array.from(table.subarray(table.length - (8 + 8 + 9)));
  new DataView(tail.buffer).setUint32(8, bomb.length, true);
  const disk = open(Buffer.concat([bomb, tail]));
  assert.throws(() => readDisk(disk), /frame 0 does not decompress to 1000 bytes/);
  const broken = seekable(contents(20_000), 8192);
  broken.fill(0xaa, 10, 1000);
  assert.throws(() => readDisk(open(broken)), { code: 'E_DISK_FORMAT' });
});

test('where a frame ends', () => {
  for (const length of [0, 1, 255, 256, 300, 70_000, 300_000]) {
    for (const bytes of [contents(length), new Uint8Array(length)]) {
      const frame = zstdCompressSync(bytes);
      assert.equal(zstdFrameLength(frame), frame.length);
      assert.equal(zstdFrameLength(Buffer.concat([frame, new Uint8Array(500).fill(0xaa)])), frame.length);
      assert.equal(zstdFrameLength(frame.subarray(0, frame.length - 1)), undefined);
    }
  }
  assert.equal(zstdFrameLength(new Uint8Array(100)), undefined);
});

test('what is written is read again, and by zstd itself', () => {
  const bytes = contents(1_000_001);
  const store = new MemoryStore('x');
  writeZstd(new RawDisk(new MemoryStore('raw', bytes)), store, imageCodec, () => {});
  assert.deepEqual(readDisk(new ZstdDisk(store, imageCodec)), bytes);
  assert.deepEqual(Uint8Array.from(zstdDecompressSync(store.contents())), bytes);
});
