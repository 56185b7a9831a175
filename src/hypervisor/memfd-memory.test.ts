import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pread } from '../base/fd.ts';
import { CrosvmError } from '../errors.ts';
import { attachGuestMemory, checkMemoryLayout, createGuestMemory, releaseGuestMemory } from './memfd-memory.ts';

const GIB4 = 0x1_0000_0000;

test('all views and the memfd see the same bytes', () => {
  const { memory, handle } = createGuestMemory([
    { gpa: 0, size: 0x2000 },
    { gpa: GIB4, size: 0x1000 },
  ]);
  const other = attachGuestMemory(structuredClone(handle));
  memory.setU32(GIB4 + 8, 0x1234_5678);
  assert.equal(other.getU32(GIB4 + 8), 0x1234_5678);
  const region = other.regions[1]!;
  assert.deepEqual([region.fdOffset, region.hostAddress], [0x2000, handle.address + 0x2000]);
  const bytes = new Uint8Array(4);
  assert.equal(pread(handle.fd, bytes, region.fdOffset + 8), 4);
  assert.deepEqual([...bytes], [0x78, 0x56, 0x34, 0x12]);
  releaseGuestMemory(handle);
  assert.equal(memory.getU32(GIB4 + 8), 0, 'a view that outlives the memory reads zero');
});

test('refuses layouts that cannot be mapped', () => {
  const bad: [{ gpa: number; size: number }[], RegExp][] = [
    [[], /needs some memory/],
    [[{ gpa: 0, size: 0 }], /not a range/],
    [[{ gpa: -4096, size: 4096 }], /not a range/],
    [[{ gpa: 2 ** 53, size: 4096 }], /not a range/],
    [[{ gpa: 0, size: 2 ** 50 }], /not a range/],
    [[{ gpa: 0, size: 1000 }], /page/],
    [[{ gpa: 100, size: 4096 }], /page/],
    [
      [
        { gpa: 0, size: 8192 },
        { gpa: 4096, size: 4096 },
      ],
      /overlaps/,
    ],
  ];
  for (const [layout, message] of bad) {
    assert.throws(
      () => checkMemoryLayout(layout),
      (e: unknown) => e instanceof CrosvmError && message.test(e.message),
    );
  }
});

test('more memory than the address space has ends in one clear line', () => {
  const layout = Array.from({ length: 4 }, (_, i) => ({ gpa: i * 2 ** 46, size: 2 ** 46 }));
  assert.throws(() => createGuestMemory(layout), { code: 'E_MEMORY_SIZE' });
});
