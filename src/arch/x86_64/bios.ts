import { CrosvmError } from '../../errors.ts';
import { copyToGuest, type KernelSource } from '../../loader/kernel-source.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { type AddressRange, FOUR_GIB, ONE_MIB } from './memory-map.ts';

/** From here to 4 GiB there is nothing but the ROM. */
const MAX_ROM = 16 << 20;
/** The reset vector is the last 16 bytes. */
const MIN_ROM = 16;
const PAGE = 4096;
/** Real-mode code sees the end of the ROM also at 0xf0000. */
const LEGACY_ALIAS = 64 << 10;

/**
 * The memory region that the machine must have for a ROM of `size` bytes: it ends at 4 GiB and begins on a page.
 * Throws `E_BIOS` if the size is not one of a ROM.
 */
export function romRegion(name: string, size: number): AddressRange {
  if (size < MIN_ROM || size > MAX_ROM) {
    throw new CrosvmError('E_BIOS', `${name}: a ROM has 16 bytes to 16 MiB, this file has ${size} bytes`);
  }
  const rounded = Math.ceil(size / PAGE) * PAGE;
  return { gpa: FOUR_GIB - rounded, size: rounded };
}

/** Puts the ROM into the region of `romRegion`, so that it ends at 4 GiB, and its last 64 KiB below 1 MiB. */
export function loadBios(source: KernelSource, memory: GuestMemory): void {
  romRegion(source.name, source.size);
  copyToGuest(source, 0, source.size, memory, FOUR_GIB - source.size);
  const alias = Math.min(source.size, LEGACY_ALIAS);
  copyToGuest(source, source.size - alias, alias, memory, ONE_MIB - alias);
}
