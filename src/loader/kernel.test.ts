import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { platformUnpackers } from '../base/zlib.ts';
import { CrosvmError } from '../errors.ts';
import { heapGuestMemory } from '../memory/guest-memory.ts';
import { loadInitrd } from './initrd.ts';
import { loadKernel } from './kernel.ts';
import { bytesSource, fileChanged } from './kernel-source.ts';
import { buildBzImage, buildElf, type TestElf } from './test-images.ts';

const MIB = 1 << 20;
const memoryOf = (mib: number) => heapGuestMemory([{ gpa: 0, size: mib * MIB }]);
const CODE = Uint8Array.from({ length: 4096 }, (_, i) => i % 251);
const VMLINUX: TestElf = {
  segments: [
    { address: 16 * MIB, bytes: CODE },
    { address: 18 * MIB, bytes: CODE, memorySize: 8192 },
  ],
  entry: 16 * MIB + 16,
};

function load(bytes: Uint8Array, mib = 32, unpack = true) {
  const memory = memoryOf(mib);
  memory.fill(0, memory.size, 0xee);
  const kernel = loadKernel(bytesSource('vmlinux', bytes), memory, unpack ? { unpack: platformUnpackers } : {});
  return { memory, kernel };
}

function refuses(bytes: Uint8Array, message: RegExp, code = 'E_KERNEL_FORMAT', mib = 32): void {
  assert.throws(
    () => load(bytes, mib),
    (e: unknown) => {
      assert.ok(e instanceof CrosvmError, String(e));
      assert.equal(e.code, code);
      assert.match(e.message, /^vmlinux/);
      assert.match(e.message, message);
      assert.doesNotMatch(e.message, /\n/);
      return true;
    },
  );
}

function withBytes(image: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = image.slice();
  change(new DataView(copy.buffer));
  return copy;
}

function appended(packed: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(packed.length + 4);
  bytes.set(packed);
  new DataView(bytes.buffer).setUint32(packed.length, size, true);
  return bytes;
}

describe('an ELF kernel', () => {
  it('goes to its physical addresses, with zeros behind', () => {
    const { memory, kernel } = load(buildElf(VMLINUX));
    assert.equal(kernel.protocol, 'linux64');
    assert.equal(kernel.entry, 16 * MIB + 16);
    assert.equal(kernel.start, 16 * MIB);
    assert.equal(kernel.end, 18 * MIB + 8192);
    assert.deepEqual(memory.slice(16 * MIB, 4096), CODE);
    assert.deepEqual(memory.slice(18 * MIB + 4096, 4096), new Uint8Array(4096));
    assert.equal(memory.getU8(18 * MIB + 8192), 0xee);
  });

  it('linked at 0 goes to 2 MiB with room to unpack itself', () => {
    const elf = buildElf({ segments: [{ address: 0, bytes: CODE }], entry: 0x200 });
    const { memory, kernel } = load(elf, 128);
    assert.equal(kernel.entry, 0x20_0200);
    assert.deepEqual(memory.slice(0x20_0000, 4096), CODE);
    assert.equal(kernel.end, 16 * MIB + kernel.initSize);
    refuses(elf, /give it more with --mem/, 'E_KERNEL_MEMORY', 64);
  });

  it('is entered by PVH only where the 64-bit entry cannot be used', () => {
    const pvhEntry = 16 * MIB + 64;
    const entryOf = (elf: TestElf) => {
      const { protocol, entry } = load(buildElf(elf)).kernel;
      return { protocol, entry };
    };
    assert.equal(entryOf({ ...VMLINUX, pvhEntry }).protocol, 'linux64');
    const pvh = { protocol: 'pvh', entry: pvhEntry };
    assert.deepEqual(entryOf({ ...VMLINUX, pvhEntry, entry: 2 ** 64 - 2 ** 31 }), pvh);
    assert.deepEqual(entryOf({ ...VMLINUX, pvhEntry, entry: pvhEntry }), pvh);
    assert.deepEqual(entryOf({ ...VMLINUX, pvhEntry, is64Bit: false }), pvh);
  });

  it('of 32 bits is entered by the 32-bit boot protocol where there is no PVH entry', () => {
    const { protocol, entry } = load(buildElf({ ...VMLINUX, is64Bit: false })).kernel;
    assert.deepEqual({ protocol, entry }, { protocol: 'linux32', entry: VMLINUX.entry });
  });

  it('must have an entry within its segments', () => {
    refuses(buildElf({ ...VMLINUX, entry: 17 * MIB }), /entry 0x1100000 is outside/);
    refuses(buildElf({ ...VMLINUX, entry: 18 * MIB + 4096 }), /is outside/);
    refuses(buildElf({ ...VMLINUX, entry: 0, pvhEntry: 1 }), /PVH entry 0x1 is outside/);
    refuses(buildElf({ ...VMLINUX, entry: 0xc100_0000, is64Bit: false }), /entry 0xc1000000 is outside/);
  });

  it('must not have segments that overlap, overflow or lie', () => {
    const [first] = VMLINUX.segments;
    const segments = (...extra: TestElf['segments']) => buildElf({ ...VMLINUX, segments: [first!, ...extra] });
    refuses(segments({ address: 16 * MIB + 4095, bytes: CODE }), /overlaps/);
    refuses(segments({ address: 0xff000, bytes: CODE }), /below 1 MiB/);
    refuses(segments({ address: 20 * MIB, bytes: CODE, memorySize: 100 }), /more bytes in the file than in memory/);
    refuses(segments({ address: 20 * MIB, bytes: CODE, offset: 2 ** 40 }), /beyond the end of the file/);
    refuses(segments({ address: 20 * MIB, bytes: CODE, fileSize: 2 ** 30, memorySize: 2 ** 30 }), /beyond the end/);
    refuses(segments({ address: 2 ** 63, bytes: CODE, memorySize: 2 ** 63 }), /overflows/);
    refuses(segments({ address: 31 * MIB, bytes: CODE, memorySize: 2 * MIB }), /needs memory/, 'E_KERNEL_MEMORY');
    refuses(segments({ address: 2 ** 40, bytes: CODE }), /needs memory/, 'E_KERNEL_MEMORY');
    refuses(buildElf({ segments: [], entry: 0, pvhEntry: 0 }), /no segment to load/);
  });

  it('must have a header that fits', () => {
    const good = buildElf(VMLINUX);
    for (let n = 4; n < 64 + 2 * 56; n++) refuses(good.slice(0, n), /beyond the end of the file/);
    refuses(
      withBytes(good, (v) => v.setUint8(4, 3)),
      /ELF class 3/,
    );
    refuses(
      withBytes(good, (v) => v.setUint8(5, 2)),
      /big-endian/,
    );
    refuses(
      withBytes(good, (v) => v.setUint16(16, 1, true)),
      /not an executable/,
    );
    refuses(
      withBytes(good, (v) => v.setUint16(18, 183, true)),
      /machine 183/,
    );
    refuses(
      withBytes(good, (v) => v.setUint16(56, 0, true)),
      /no program headers/,
    );
    refuses(
      withBytes(good, (v) => v.setUint16(56, 0xffff, true)),
      /65535 ELF program headers/,
    );
    refuses(
      withBytes(good, (v) => v.setUint16(54, 0, true)),
      /too small/,
    );
    refuses(
      withBytes(good, (v) => v.setBigUint64(32, 2n ** 64n - 1n, true)),
      /program header table/,
    );
  });

  it('may have notes that lie: they are no PVH entry', () => {
    const elf = buildElf({ ...VMLINUX, pvhEntry: 16 * MIB, entry: 1 });
    const note = elf.length - 44;
    refuses(
      withBytes(elf, (v) => v.setUint32(note, 0xffff_ffff, true)),
      /entry 0x1 is outside/,
    );
    refuses(
      withBytes(elf, (v) => v.setUint32(note + 4, 0xffff_fffc, true)),
      /entry 0x1 is outside/,
    );
  });
});

describe('a bzImage', () => {
  const elf = buildElf(VMLINUX);
  const payload = appended(zstdCompressSync(elf), elf.length);

  it('is unpacked and boots as the vmlinux in it, with its own header', () => {
    for (const packed of [payload, new Uint8Array(gzipSync(elf))]) {
      const { memory, kernel } = load(buildBzImage(packed));
      assert.equal(kernel.entry, VMLINUX.entry);
      assert.equal(kernel.setupHeader?.length, 0x26c - 0x1f1);
      assert.equal(kernel.initrdAddressMax, 0x7fff_ffff);
      assert.deepEqual(memory.slice(18 * MIB, 4096), CODE);
    }
  });

  it('unpacks itself at 2 MiB if we cannot', () => {
    for (const [packed, unpack] of [
      [payload, false],
      [Buffer.from('BZh9 and so on: bzip2'), true],
    ] as const) {
      const image = buildBzImage(packed);
      const { memory, kernel } = load(image, 32, unpack);
      assert.equal(kernel.protocol, 'linux64');
      assert.equal(kernel.entry, 0x20_0200);
      assert.equal(kernel.end, 18 * MIB);
      assert.deepEqual(memory.slice(0x20_0200, packed.length), new Uint8Array(packed));
    }
  });

  it('without a 64-bit entry is entered at its start in protected mode', () => {
    const image = withBytes(buildBzImage(Buffer.alloc(64)), (v) => v.setUint16(0x236, 0, true));
    const { protocol, entry } = load(image).kernel;
    assert.deepEqual({ protocol, entry }, { protocol: 'linux32', entry: 0x20_0000 });
  });

  it('may have 0 (for 4) or 255 setup sectors', () => {
    assert.equal(load(buildBzImage(payload, 0)).kernel.entry, VMLINUX.entry);
    assert.equal(load(buildBzImage(payload, 255)).kernel.entry, VMLINUX.entry);
    refuses(
      withBytes(buildBzImage(payload), (v) => v.setUint8(0x1f1, 255)),
      /announces/,
    );
  });

  it('must have a header that is true', () => {
    const good = buildBzImage(payload);
    const changed = (change: (view: DataView) => void) => withBytes(good, change);
    refuses(
      changed((v) => v.setUint32(0x1f4, 0xffff_ffff, true)),
      /announces/,
    );
    refuses(
      changed((v) => v.setUint32(0x1f4, 0, true)),
      /announces 0 bytes/,
    );
    refuses(
      changed((v) => v.setUint16(0x1fe, 0, true)),
      /0xaa55/,
    );
    refuses(
      changed((v) => v.setUint16(0x206, 0x204, true)),
      /protocol 2\.4/,
    );
    refuses(
      changed((v) => v.setUint8(0x211, 0)),
      /zImage/,
    );
    refuses(
      changed((v) => v.setUint8(0x201, 0)),
      /header ends/,
    );
    refuses(
      changed((v) => v.setUint8(0x201, 255)),
      /header ends/,
    );
    refuses(
      changed((v) => v.setUint32(0x248, 0xffff_ff00, true)),
      /payload .* is outside/,
    );
    refuses(
      changed((v) => v.setUint32(0x24c, 0xffff_ff00, true)),
      /payload .* is outside/,
    );
    refuses(good.slice(0, 0x300), /announces/);
    const hungry = withBytes(buildBzImage(Buffer.alloc(64)), (v) => v.setUint32(0x260, 0x7fff_ffff, true));
    refuses(hungry, /needs memory/, 'E_KERNEL_MEMORY');
  });

  it('must not lie about what it unpacks to', () => {
    refuses(buildBzImage(appended(zstdCompressSync(elf), elf.length - 1)), /zstd payload cannot be unpacked/);
    refuses(buildBzImage(appended(zstdCompressSync(elf), elf.length + 1)), /unpacks to \d+ bytes, not to/);
    refuses(buildBzImage(appended(zstdCompressSync(elf), 0xffff_ffff)), /4294967295 bytes unpacked/);
    refuses(buildBzImage(appended(zstdCompressSync(elf), 0)), /0 bytes unpacked/);
    refuses(buildBzImage(appended(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2, 3, 4, 5, 6]), 9)), /xz payload/);
    refuses(buildBzImage(appended(zstdCompressSync(CODE), CODE.length)), /does not hold an ELF file/);
  });
});

describe('what is no kernel', () => {
  it('is said to be none', () => {
    refuses(new Uint8Array(0), /empty/);
    refuses(Buffer.from('#!/bin/sh\n'), /not a kernel/);
    refuses(new Uint8Array(100_000), /not a kernel/);
  });

  it('may be one that shrinks while it is read', () => {
    const elf = buildElf(VMLINUX);
    const shrunk = {
      ...bytesSource('vmlinux', elf),
      readAt(offset: number, length: number) {
        if (offset + length > 256) throw fileChanged('vmlinux');
        return elf.subarray(offset, offset + length);
      },
      readInto() {
        throw fileChanged('vmlinux');
      },
    };
    assert.throws(() => loadKernel(shrunk, memoryOf(32)), { code: 'E_FILE_CHANGED' });
  });
});

describe('the initrd', () => {
  const { memory, kernel } = load(buildElf(VMLINUX));
  const initrd = (size: number) => bytesSource('initrd.img', new Uint8Array(size).fill(7));

  it('goes to the top of memory', () => {
    assert.deepEqual(loadInitrd(initrd(5000), memory, kernel), { address: 32 * MIB - 8192, size: 5000 });
    assert.equal(memory.getU8(32 * MIB - 8192 + 4999), 7);
  });

  it('stays below what the kernel can reach', () => {
    const limited = { ...kernel, initrdAddressMax: 24 * MIB - 1 };
    assert.equal(loadInitrd(initrd(4096), memory, limited).address, 24 * MIB - 4096);
  });

  it('must fit above the kernel', () => {
    const room = 32 * MIB - (18 * MIB + 8192);
    assert.equal(loadInitrd(initrd(room), memory, kernel).address, kernel.end);
    assert.throws(() => loadInitrd(initrd(room + 1), memory, kernel), {
      code: 'E_INITRD',
      message: new RegExp(`^initrd.img: the initrd has ${room + 1} bytes, .* room for ${room};`),
    });
    assert.throws(() => loadInitrd(initrd(64 * MIB), memory, kernel), { code: 'E_INITRD' });
    assert.throws(() => loadInitrd(initrd(0), memory, kernel), { code: 'E_INITRD' });
  });
});
