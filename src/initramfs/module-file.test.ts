import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { platformUnpackers } from '../base/zlib.ts';
import { MAX_MODULE_SIZE, unpackModule } from './module-file.ts';

const MODULE = Buffer.from(`\x7fELF and ${'more '.repeat(1000)}`);
const unpack = (bytes: Uint8Array) => Buffer.from(unpackModule('m.ko', bytes, platformUnpackers));
const xz = (bytes: Uint8Array) => spawnSync('xz', ['--check=crc32', '--stdout'], { input: bytes, maxBuffer: 1 << 28 });

describe('unpackModule', () => {
  it('knows what modules are compressed with', (t) => {
    assert.deepEqual(unpack(MODULE), MODULE);
    assert.deepEqual(unpack(gzipSync(MODULE)), MODULE);
    assert.deepEqual(unpack(zstdCompressSync(MODULE)), MODULE);
    const { stdout, status } = xz(MODULE);
    if (status !== 0) return t.skip('no xz here: install xz-utils');
    assert.deepEqual(unpack(stdout), MODULE);
  });

  it('refuses what is broken or too large', (t) => {
    const error = { code: 'E_MODULES', message: /^m\.ko: the module cannot be unpacked: / };
    const bomb = new Uint8Array(MAX_MODULE_SIZE + 1);
    for (const compress of [gzipSync, zstdCompressSync]) {
      assert.throws(() => unpack(compress(MODULE).subarray(0, 20)), error);
      assert.throws(() => unpack(compress(bomb)), error);
    }
    const { stdout, status } = xz(bomb);
    if (status !== 0) return t.skip('no xz here: install xz-utils');
    assert.throws(() => unpack(stdout), { code: 'E_MODULES', message: /it announces 33554433 bytes$/ });
    assert.throws(() => unpack(stdout.subarray(0, 40)), error);
  });
});
