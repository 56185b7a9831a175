import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CpuidEntry } from '../../hypervisor/hypervisor.ts';
import { type CpuidConfig, guestCpuid, physicalAddressBits } from './cpuid.ts';

const entry = (leaf: number, values: Partial<CpuidEntry> = {}): CpuidEntry => ({
  leaf,
  subleaf: 0,
  indexed: false,
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  ...values,
});

const cacheEntry = (leaf: number, subleaf: number, level: number): CpuidEntry =>
  entry(leaf, { subleaf, indexed: true, eax: 1 | (level << 5) | 0xffff_c000 });

const SUPPORTED = [
  entry(0, { eax: 7, ebx: 0x756e_6547 }),
  entry(1, { ebx: 0xffff_ff12, ecx: (1 << 21) | (1 << 24) | 1, edx: 1 << 28 }),
  cacheEntry(4, 0, 1),
  cacheEntry(4, 1, 3),
  entry(4, { subleaf: 2, indexed: true }),
  entry(6, { ecx: 9 }),
  entry(7, { ebx: 0x1234 }),
  entry(0xb, { subleaf: 0, indexed: true, edx: 77 }),
  entry(0xb, { subleaf: 1, indexed: true, edx: 77 }),
  entry(0x1f, { subleaf: 0, indexed: true, edx: 77 }),
  entry(0x8000_0008, { eax: 0x3028, ecx: 0xffff }),
  entry(0x8000_001e, { eax: 77, ebx: 77, ecx: 77 }),
];
const CONFIG: CpuidConfig = { apicId: 5, cpus: 6, threadsPerCore: 2, x2apic: true, tscDeadline: true };

function leaf(config: Partial<CpuidConfig>, number: number, subleaf = 0): CpuidEntry {
  const found = guestCpuid(SUPPORTED, { ...CONFIG, ...config }).filter(
    (e) => e.leaf === number && e.subleaf === subleaf,
  );
  assert.equal(found.length, 1, `leaf ${number.toString(16)}`);
  return found[0]!;
}

describe('guestCpuid', () => {
  it('gives leaf 1 the APIC id, the count, and the features of the machine', () => {
    const on = leaf({}, 1);
    assert.equal(on.ebx, 0x0506_0812);
    assert.equal(on.ecx, (1 | (1 << 21) | (1 << 24) | (1 << 31)) >>> 0);
    assert.equal(on.edx, 1 << 28);
    const off = leaf({ x2apic: false, tscDeadline: false, cpus: 1, apicId: 0 }, 1);
    assert.equal(off.ecx, (1 | (1 << 31)) >>> 0);
    assert.equal(off.edx, 0);
  });

  it('tells the same topology in leaf 0xb, 0x1f, 4 and AMD leaves', () => {
    for (const number of [0xb, 0x1f]) {
      assert.deepEqual(leaf({}, number, 0), entry(number, { indexed: true, eax: 1, ebx: 2, ecx: 0x100, edx: 5 }));
      const cores = entry(number, { subleaf: 1, indexed: true, eax: 3, ebx: 6, ecx: 0x201, edx: 5 });
      assert.deepEqual(leaf({}, number, 1), cores);
      assert.equal(leaf({}, number, 2).ebx, 0);
    }
    assert.equal(leaf({}, 0).eax, 0xb);
    assert.equal((leaf({}, 4, 0).eax >>> 14) & 0xfff, 1);
    assert.equal((leaf({}, 4, 1).eax >>> 14) & 0xfff, 7);
    assert.equal(leaf({}, 4, 1).eax >>> 26, 3);
    assert.equal(leaf({}, 4, 2).eax, 0);
    assert.equal(leaf({}, 0x8000_0008).ecx, 5 | (3 << 12));
    const { eax, ebx, ecx } = leaf({}, 0x8000_001e);
    assert.deepEqual({ eax, ebx, ecx }, { eax: 5, ebx: 2 | (1 << 8), ecx: 0 });
  });

  it('makes single threads of an odd number', () => {
    assert.equal(leaf({ cpus: 5 }, 0xb, 0).eax, 0);
    assert.equal(leaf({ cpus: 5 }, 0xb, 0).ebx, 1);
    assert.equal(leaf({ cpus: 1, apicId: 0 }, 0xb, 1).eax, 0);
  });

  it('leaves the rest alone', () => {
    assert.equal(leaf({}, 7).ebx, 0x1234);
    assert.equal(leaf({}, 6).ecx, 1);
    const without = SUPPORTED.filter((e) => e.leaf !== 0x1f);
    assert.ok(!guestCpuid(without, CONFIG).some((e) => e.leaf === 0x1f));
  });
});

describe('physicalAddressBits', () => {
  it('believes only what a CPU can have', () => {
    assert.equal(physicalAddressBits(SUPPORTED), 40);
    assert.equal(physicalAddressBits([]), 36);
    assert.equal(physicalAddressBits([entry(0x8000_0008, { eax: 255 })]), 36);
  });
});
