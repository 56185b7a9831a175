import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { platformUnpackers } from '../../base/zlib.ts';
import { crc32, crc64 } from './crc.ts';
import { unpackLz4, unpackLz4Block } from './lz4.ts';
import { detectPayload } from './payload.ts';
import { UnpackError } from './unpack-error.ts';
import { unpackXz, xzUnpackedSize } from './xz.ts';

/** 24 calls of one function with something between them, and a tail: what the x86 filter is for. */
function callsOfOneFunction(): Uint8Array {
  const bytes: number[] = [];
  for (let i = 0; i < 24; i++) {
    const displacement = 0x1000 - (bytes.length + 5);
    bytes.push(0xe8, displacement & 0xff, (displacement >> 8) & 0xff, displacement >> 16, displacement >> 24);
    bytes.push(0x48, 0x89, 0xc0 + (i % 4), i % 5 === 0 ? 0xe9 : 0x90);
  }
  return Uint8Array.from([...bytes, ...Buffer.from('tail')].map((b) => b & 0xff));
}

const XZ_X86_CRC32 = Buffer.from(
  '/Td6WFoAAAFpIt42AgEEACEBAADaM60D4ADbAEFdAHP//fAMP76sLrvCP8KiHIwVl1RFINqVMSTY098RFB3XPKLqhSJPjq7Z1lADu6eSo4px+' +
    'Z8Ea5LNSpA3LOKywWR6AAAAAPu+eDYAAVncAQAAAN94bRw+MA2LAgAAAAABWVo=',
  'base64',
);
const XZ_CRC64 = Buffer.from(
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4ACYAAxdADCYiKwcZvACFbCfGAAmlhL1lqCJvgABKJkBAAAAgnEATLHEZ/sCAAAAAARZWg==',
  'base64',
);
const ABC = Buffer.from(`${'abc'.repeat(50)}end`);
const LZ4 = Buffer.from('AiFMGDAAAAA/YWJjAwCA8BhlbmQgb2YgdGhlIHRleHQsIHdoaWNoIGlzIGEgbGl0ZXJhbCBydW4=', 'base64');
const LZ4_TEXT = Buffer.from(`${'abc'.repeat(50)}end of the text, which is a literal run`);

/** Bytes as a program has them: repeats near and far, runs, branches, noise. */
function programLike(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let seed = 12345;
  for (let at = 0; at < size; ) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    const kind = (seed >>> 16) % 5;
    const length = Math.min(size - at, 1 + ((seed >>> 20) % 300));
    if (kind === 0 && at > 0) {
      const from = (seed >>> 3) % at;
      for (let i = 0; i < length; i++) bytes[at + i] = bytes[from + (i % (at - from))]!;
    } else if (kind === 1) {
      bytes.fill(seed & 0xff, at, at + length);
    } else {
      for (let i = 0; i < length; i++) {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        const pick = seed >>> 24;
        bytes[at + i] = kind === 2 ? [0xe8, 0xe9, 0, 0xff, 0xe8, 1, 0, 0xff][pick & 7]! : pick;
      }
    }
    at += length;
  }
  return bytes;
}

describe('checksums', () => {
  it('give the check values of the CRC catalogue', () => {
    assert.equal(crc32(Buffer.from('123456789')), 0xcbf4_3926);
    assert.deepEqual(crc64(Buffer.from('123456789')), { high: 0x995d_c9bb, low: 0xdf19_39fa });
  });
});

describe('unpackXz', () => {
  it('undoes LZMA2 and the x86 filter', () => {
    assert.deepEqual(unpackXz(XZ_X86_CRC32, 220), callsOfOneFunction());
    assert.deepEqual(Buffer.from(unpackXz(XZ_CRC64, ABC.length)), ABC);
  });

  it('is told the size by the index', () => {
    assert.equal(xzUnpackedSize(XZ_X86_CRC32), 220);
    assert.equal(xzUnpackedSize(XZ_CRC64), ABC.length);
    for (let n = 0; n < XZ_CRC64.length; n++) assert.throws(() => xzUnpackedSize(XZ_CRC64.subarray(0, n)), UnpackError);
    const far = Buffer.from(XZ_CRC64);
    far.writeUInt32LE(0xffff_fffe, far.length - 8);
    assert.throws(() => xzUnpackedSize(far), UnpackError);
  });

  it('refuses data that unpacks to another size', () => {
    assert.throws(() => unpackXz(XZ_CRC64, ABC.length - 1), UnpackError);
    assert.throws(() => unpackXz(XZ_CRC64, ABC.length + 1), UnpackError);
  });

  it('survives every truncation', () => {
    // The last 12 bytes are the stream footer, which repeats what is known.
    for (let n = 0; n < XZ_X86_CRC32.length - 12; n++) {
      assert.throws(() => unpackXz(XZ_X86_CRC32.subarray(0, n), 220), UnpackError, `${n} bytes`);
    }
  });

  it('notices every changed byte', () => {
    for (let n = 6; n < XZ_X86_CRC32.length - 12; n++) {
      const changed = Buffer.from(XZ_X86_CRC32);
      changed[n]! ^= 0x55;
      assert.throws(() => unpackXz(changed, 220), UnpackError, `byte ${n}`);
    }
  });
});

describe('unpackLz4', () => {
  it('unpacks a legacy frame', () => {
    assert.deepEqual(Buffer.from(unpackLz4(LZ4, LZ4_TEXT.length)), LZ4_TEXT);
  });

  it('refuses truncated data and a wrong size', () => {
    for (let n = 0; n < LZ4.length; n++) {
      assert.throws(() => unpackLz4(LZ4.subarray(0, n), LZ4_TEXT.length), UnpackError, `${n} bytes`);
    }
    assert.throws(() => unpackLz4(LZ4, LZ4_TEXT.length - 1), UnpackError);
    assert.throws(() => unpackLz4(LZ4, LZ4_TEXT.length + 1), UnpackError);
  });

  it('refuses matches that reach before the data', () => {
    const output = new Uint8Array(64);
    // One literal, then a match of 4 at distance 2; and at distance 0.
    assert.throws(() => unpackLz4Block(Uint8Array.of(0x10, 65, 2, 0), 0, 4, output, 0, 64), UnpackError);
    assert.throws(() => unpackLz4Block(Uint8Array.of(0x10, 65, 0, 0), 0, 4, output, 0, 64), UnpackError);
    // The data of the block before it is out of reach too.
    assert.throws(() => unpackLz4Block(Uint8Array.of(0x10, 65, 2, 0), 0, 4, output, 32, 64), UnpackError);
  });
});

describe('detectPayload', () => {
  it('knows the formats by their magic', () => {
    const name = (bytes: Uint8Array) => detectPayload(bytes, platformUnpackers)?.name;
    assert.equal(name(gzipSync('x')), 'gzip');
    assert.equal(name(zstdCompressSync('x')), 'zstd');
    assert.equal(name(XZ_CRC64), 'xz');
    assert.equal(name(LZ4), 'lz4');
    assert.equal(name(Buffer.from('BZh9')), undefined);
    assert.equal(name(new Uint8Array(0)), undefined);
  });

  it('gives decoders that do not make more than asked', () => {
    const text = Buffer.alloc(1 << 20, 7);
    assert.deepEqual(platformUnpackers.gzip(gzipSync(text), text.length), text);
    assert.deepEqual(platformUnpackers.zstd(zstdCompressSync(text), text.length), text);
    assert.throws(() => platformUnpackers.gzip(gzipSync(text), 1000));
    assert.throws(() => platformUnpackers.zstd(zstdCompressSync(text), 1000));
  });
});

describe('against the real tools', () => {
  const input = programLike(3_000_000);
  const cases: readonly (readonly [string, readonly string[], (packed: Uint8Array, size: number) => Uint8Array])[] = [
    ['xz', ['-T1', '--check=crc32', '--x86', '--lzma2=preset=6,dict=1MiB', '-c'], unpackXz],
    ['xz', ['-T1', '--check=crc64', '--x86', '--lzma2=preset=0,lc=1,lp=3,pb=0', '-c'], unpackXz],
    ['xz', ['-T1', '--check=none', '--block-size=500000', '-0', '-c'], unpackXz],
    ['lz4', ['-l', '-9', '-c'], unpackLz4],
    ['lz4', ['-l', '-1', '-c'], unpackLz4],
    ['zstd', ['-3', '-c'], platformUnpackers.zstd],
    ['gzip', ['-6', '-c'], platformUnpackers.gzip],
  ];
  for (const [tool, args, unpack] of cases) {
    it(`unpacks what ${tool} ${args.join(' ')} makes`, (t) => {
      const run = spawnSync(tool, args, { input, maxBuffer: 1 << 24 });
      if (run.error !== undefined) {
        t.skip(`SKIPPED: ${tool} is not installed`);
        return;
      }
      assert.equal(run.status, 0, run.stderr.toString());
      assert.equal(Buffer.compare(unpack(run.stdout, input.length), input), 0);
    });
  }
});
