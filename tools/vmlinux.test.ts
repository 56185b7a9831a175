import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { bytesSource } from '../src/loader/kernel-source.ts';
import { unpackBzImage } from './vmlinux.ts';

/** A bzImage of one setup sector more than the boot sector, whose protected-mode part is just the payload. */
function bzImage(payload: Uint8Array): Uint8Array {
  const image = new Uint8Array(1024 + Math.ceil(payload.length / 16) * 16);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1); // setup_sects
  view.setUint32(0x1f4, (image.length - 1024) / 16, true); // syssize
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x6aeb, true); // jmp over the header
  view.setUint32(0x202, 0x5372_6448, true); // HdrS
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1); // LOADED_HIGH
  view.setUint32(0x248, 0, true); // payload_offset
  view.setUint32(0x24c, payload.length, true);
  image.set(payload, 1024);
  return image;
}

test('gives the ELF file in the payload', () => {
  const elf = new Uint8Array(5000).fill(3);
  elf.set([0x7f, 0x45, 0x4c, 0x46]);
  const vmlinux = unpackBzImage(bytesSource('k', bzImage(gzipSync(elf))));
  assert.equal(vmlinux.size, 5000);
  assert.deepEqual(vmlinux.readAt(0, 5000), Buffer.from(elf));
});

test('says so when there is no payload that we can unpack', () => {
  const unknown = bzImage(new Uint8Array(64).fill(0xee));
  assert.throws(() => unpackBzImage(bytesSource('k', unknown)), /^CrosvmError: k does not hold a vmlinux/);
  assert.throws(() => unpackBzImage(bytesSource('k', new Uint8Array(100))), { code: 'E_KERNEL_FORMAT' });
});
