import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesSource } from './kernel-source.ts';
import { linuxFacts } from './linux-facts.ts';
import { buildBzImage, buildElf } from './test-images.ts';

const facts = (bytes: Uint8Array) => linuxFacts(bytesSource('kernel', bytes));
const MIB = 1 << 20;

/** A bzImage that says its version; at `offset`, relative to 0x200. */
function bzImage(version: string, offset = 0x100, rootFlags = 1): Uint8Array {
  const bytes = buildBzImage(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  view.setUint16(0x1f2, rootFlags, true);
  view.setUint16(0x20e, offset, true);
  bytes.set(Buffer.from(`${version}\0`), 0x200 + 0x100);
  return bytes;
}

/** A vmlinux with a text somewhere in it. */
function vmlinux(text: string, at: number): Uint8Array {
  const bytes = new Uint8Array(at + 4096);
  bytes.set(Buffer.from(text), at);
  return buildElf({ segments: [{ address: 16 * MIB, bytes }], entry: 16 * MIB });
}

describe('linuxFacts', () => {
  it('are in the boot header of a bzImage', () => {
    const version = '6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP';
    assert.deepEqual(facts(bzImage(version)), { release: '6.1.0-56-cloud-amd64', mountsReadOnly: true });
    assert.deepEqual(facts(bzImage('6.12.1+', 0x100, 0)), { release: '6.12.1+', mountsReadOnly: false });
  });

  it('are in the banner of a vmlinux, wherever that lies', () => {
    const banner = 'Linux version 6.12.117+deb12-cloud-amd64 (debian-kernel@lists.debian.org) (gcc) #1';
    const expected = { release: '6.12.117+deb12-cloud-amd64', mountsReadOnly: false };
    for (const at of [0, 100, MIB - 200, MIB - 150, MIB, 3 * MIB + 5]) {
      assert.deepEqual(facts(vmlinux(`Linux version %s (%s)\0${banner}`, at)), expected, `${at}`);
    }
  });

  it('are unknown where the file does not tell', () => {
    assert.equal(facts(bzImage('6.1', 0)), undefined);
    assert.equal(facts(bzImage('../../etc')), undefined);
    assert.equal(facts(bzImage('')), undefined);
    assert.equal(facts(vmlinux('Linux version ../x (y)', 50)), undefined);
    assert.equal(facts(Buffer.from('no kernel')), undefined);
  });

  it('are refused where they lead out of the file', () => {
    assert.throws(() => facts(bzImage('6.1', 0xffff)), { code: 'E_KERNEL_FORMAT', message: /beyond the end/ });
  });
});
