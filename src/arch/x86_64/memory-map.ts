import { CrosvmError } from '../../errors.ts';
import type { Gpa } from '../../memory/guest-memory.ts';
import { ECAM_ADDRESS, ECAM_LENGTH, LOW_MMIO_START } from './platform.ts';

/** Structures that the boot protocols and firmware tables need, all in the first MiB. */
export const BOOT_GDT = 0x1500;
export const BOOT_IDT = 0x1530;
export const PVH_START_INFO = 0x6000;
export const ZERO_PAGE = 0x7000;
export const BOOT_STACK = 0x8000;
export const PAGE_MAP_LEVEL_4 = 0x9000;
export const PAGE_DIRECTORY_POINTERS = 0xa000;
/** Four page directories, one for each GiB of the identity map. */
export const PAGE_DIRECTORIES = 0xb000;
export const COMMAND_LINE = 0x2_0000;
/** Room for the command line with its NUL. */
export const COMMAND_LINE_ROOM = 0x800;
export const SETUP_DATA = 0x2_0800;
/** The MP configuration table; its floating pointer lies in the last KiB below 640 KiB, where kernels look for it. */
export const MP_TABLE = 0x9_e000;
export const MP_FLOATING_POINTER = 0x9_fc00;
/** ACPI tables, the RSDP first; up to the SMBIOS entry point. */
export const ACPI_TABLES = 0xe_0000;
export const SMBIOS_ENTRY_POINT = 0xf_0000;
export const ONE_MIB = 0x10_0000;
export const FOUR_GIB = 0x1_0000_0000;

/** RAM below 4 GiB ends here at the latest; above are devices. */
export const LOW_RAM_LIMIT = LOW_MMIO_START;
/** Three pages for a TSS and one for a page table that KVM needs on CPUs without unrestricted guest. */
export const KVM_IDENTITY_MAP = 0xfeff_c000;
export const KVM_TSS = 0xfeff_d000;
const KVM_PAGES_END = 0xff00_0000;

const MIN_RAM = 2 << 20;
const PAGE = 4096;
/** Linux and crosvm use no more than 46 physical address bits for devices. */
const MAX_ADDRESS_BITS = 46;

export interface AddressRange {
  readonly gpa: Gpa;
  readonly size: number;
}

/**
 * The pieces of guest RAM for `ramSize` bytes: one from 0, and one from 4 GiB if it does not fit below the devices.
 * Throws `E_MEMORY_SIZE` if the size is below 2 MiB, no multiple of 4096, or beyond `addressBits` physical address bits.
 */
export function ramLayout(ramSize: number, addressBits = MAX_ADDRESS_BITS): AddressRange[] {
  if (!Number.isSafeInteger(ramSize) || ramSize < MIN_RAM || ramSize % PAGE !== 0) {
    throw new CrosvmError(
      'E_MEMORY_SIZE',
      `a guest cannot have ${ramSize} bytes of memory: it takes at least 2 MiB, in whole pages`,
    );
  }
  const low = Math.min(ramSize, LOW_RAM_LIMIT);
  const high = ramSize - low;
  // The upper half of the address space stays for devices.
  const limit = 2 ** Math.min(addressBits, MAX_ADDRESS_BITS) / 2;
  if (high > 0 && FOUR_GIB + high > limit) {
    throw new CrosvmError(
      'E_MEMORY_SIZE',
      `${Math.floor(ramSize / ONE_MIB)} MiB of guest memory are more than this CPU's ${addressBits} address bits allow`,
    );
  }
  return high > 0
    ? [
        { gpa: 0, size: low },
        { gpa: FOUR_GIB, size: high },
      ]
    : [{ gpa: 0, size: low }];
}

/** Linux adds memory in sections of this size. */
const FILE_ALIGNMENT = 128 * 2 ** 20;

/** Where files of these sizes are memory: above RAM and 4 GiB, each on a boundary of 128 MiB. */
export function fileMemory(ramSize: number, sizes: readonly number[]): AddressRange[] {
  let end = ramEnd(ramSize);
  return sizes.map((size) => {
    const gpa = Math.ceil(end / FILE_ALIGNMENT) * FILE_ALIGNMENT;
    end = gpa + size;
    return { gpa, size };
  });
}

/**
 * Where 64-bit BARs go: above RAM, `files` and 4 GiB, on a 1 GiB boundary, as far as the guest's addresses reach. Throws
 * `E_MEMORY_SIZE` if these do not reach the files.
 */
export function highMmio(
  ramSize: number,
  addressBits = MAX_ADDRESS_BITS,
  files: readonly AddressRange[] = [],
): AddressRange {
  const filesEnd = files.reduce((end, { gpa, size }) => Math.max(end, gpa + size), 0);
  if (filesEnd > 2 ** Math.min(addressBits, MAX_ADDRESS_BITS)) {
    throw new CrosvmError(
      'E_MEMORY_SIZE',
      `files as memory do not fit into the ${addressBits} address bits of this CPU`,
    );
  }
  const gpa = Math.ceil(Math.max(ramEnd(ramSize), filesEnd) / 2 ** 30) * 2 ** 30;
  return { gpa, size: Math.max(0, 2 ** Math.min(addressBits, MAX_ADDRESS_BITS) - gpa) };
}

/** Where RAM ends, or 4 GiB if that is below. */
function ramEnd(ramSize: number): Gpa {
  return FOUR_GIB + Math.max(0, ramSize - LOW_RAM_LIMIT);
}

export const E820_RAM = 1;
export const E820_RESERVED = 2;

/** An entry of the memory map that BIOS function E820h gives (ACPI 6.3, 15). */
export interface E820Entry extends AddressRange {
  readonly type: typeof E820_RAM | typeof E820_RESERVED;
}

/** The memory map in ascending order, for RAM that `ramLayout` laid out. */
export function e820Table(ram: readonly AddressRange[]): E820Entry[] {
  const low = ram[0]!;
  return [
    { gpa: 0, size: MP_TABLE, type: E820_RAM },
    // The tables; RAM, but not for the guest to use.
    { gpa: MP_TABLE, size: ONE_MIB - MP_TABLE, type: E820_RESERVED },
    { gpa: ONE_MIB, size: low.size - ONE_MIB, type: E820_RAM },
    { gpa: ECAM_ADDRESS, size: ECAM_LENGTH, type: E820_RESERVED },
    { gpa: KVM_IDENTITY_MAP, size: KVM_PAGES_END - KVM_IDENTITY_MAP, type: E820_RESERVED },
    ...ram.slice(1).map((r) => ({ ...r, type: E820_RAM }) as const),
  ];
}
