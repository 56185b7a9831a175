import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  E820_RAM,
  e820Table,
  FOUR_GIB,
  fileMemory,
  highMmio,
  LOW_RAM_LIMIT,
  ONE_MIB,
  ramLayout,
} from './memory-map.ts';
import { ECAM_ADDRESS, IOAPIC_ADDRESS, PCI_INTX_IRQS, pciIntxIrq } from './platform.ts';

const SIZES = [2 * ONE_MIB, 256 * ONE_MIB, LOW_RAM_LIMIT, LOW_RAM_LIMIT + 4096, 2 ** 36];

describe('ramLayout', () => {
  it('leaves the gap for devices', () => {
    for (const size of SIZES) {
      const layout = ramLayout(size);
      assert.equal(
        layout.reduce((sum, r) => sum + r.size, 0),
        size,
      );
      assert.ok(layout[0]!.size <= LOW_RAM_LIMIT);
      assert.equal(layout.length, size > LOW_RAM_LIMIT ? 2 : 1);
      if (layout.length > 1) assert.equal(layout[1]!.gpa, FOUR_GIB);
    }
  });

  it('refuses sizes that no guest can have', () => {
    for (const size of [0, -1, ONE_MIB, 1.5, Number.NaN, Infinity, 2 ** 53, 256 * ONE_MIB + 1]) {
      assert.throws(() => ramLayout(size), { code: 'E_MEMORY_SIZE' }, `${size}`);
    }
    assert.throws(() => ramLayout(2 ** 45), { code: 'E_MEMORY_SIZE' });
    assert.throws(() => ramLayout(2 ** 36, 36), { code: 'E_MEMORY_SIZE', message: /36 address bits/ });
  });
});

describe('the memory map', () => {
  it('covers all RAM, in order and without overlap', () => {
    for (const size of SIZES) {
      const ram = ramLayout(size);
      const table = e820Table(ram);
      let end = 0;
      for (const e of table) {
        assert.ok(e.gpa >= end && e.size >= 0, JSON.stringify(e));
        end = e.gpa + e.size;
      }
      for (const { gpa, size: length } of ram) {
        const covered = table.filter((e) => e.gpa >= gpa && e.gpa + e.size <= gpa + length);
        assert.equal(
          covered.reduce((sum, e) => sum + e.size, 0),
          length,
        );
      }
      for (const e of table.filter((e) => e.type === E820_RAM)) {
        assert.ok(ram.some((r) => e.gpa >= r.gpa && e.gpa + e.size <= r.gpa + r.size));
      }
      assert.ok(table.some((e) => e.gpa === ECAM_ADDRESS && e.type !== E820_RAM));
    }
  });

  it('puts 64-bit devices above everything', () => {
    for (const size of SIZES) {
      const ram = ramLayout(size).at(-1)!;
      const window = highMmio(size, 40);
      assert.ok(window.gpa >= Math.max(FOUR_GIB, ram.gpa + ram.size));
      assert.equal(window.gpa + window.size, 2 ** 40);
    }
    assert.equal(highMmio(ONE_MIB, 32).size, 0);
  });

  it('puts files above RAM, aligned and apart, and devices above them', () => {
    for (const size of SIZES) {
      const ram = ramLayout(size).at(-1)!;
      const files = fileMemory(size, [2 * ONE_MIB, 300 * ONE_MIB, 2 * ONE_MIB]);
      let end = Math.max(FOUR_GIB, ram.gpa + ram.size);
      for (const file of files) {
        assert.ok(file.gpa >= end && file.gpa < end + 128 * ONE_MIB);
        assert.equal(file.gpa % (128 * ONE_MIB), 0);
        end = file.gpa + file.size;
      }
      assert.ok(highMmio(size, 40, files).gpa >= end);
    }
    const files = fileMemory(ONE_MIB, [2 ** 36]);
    assert.throws(() => highMmio(ONE_MIB, 36, files), { code: 'E_MEMORY_SIZE' });
    assert.equal(highMmio(ONE_MIB, 37, files).gpa, 2 ** 36 + FOUR_GIB);
  });
});

describe('the platform', () => {
  it('spreads the PCI wires over all their interrupts', () => {
    assert.deepEqual(
      [0, 1, 2, 3].map((pin) => pciIntxIrq(1, pin)).sort((a, b) => a - b),
      [...PCI_INTX_IRQS],
    );
    assert.ok(IOAPIC_ADDRESS > ECAM_ADDRESS);
  });
});
