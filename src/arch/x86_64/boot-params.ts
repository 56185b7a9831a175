import type { LoadedInitrd } from '../../loader/initrd.ts';
import type { LoadedKernel } from '../../loader/kernel.ts';
import type { Gpa, GuestMemory } from '../../memory/guest-memory.ts';
import { COMMAND_LINE, type E820Entry, MP_TABLE, SETUP_DATA, ZERO_PAGE } from './memory-map.ts';

/** What boot_params, the "zero page", tells a Linux kernel. */
export interface BootParams {
  readonly kernel: LoadedKernel;
  readonly initrd?: LoadedInitrd;
  readonly e820: readonly E820Entry[];
  readonly rsdp: Gpa;
  /** Random bytes that seed the guest's generator; none for a machine that must repeat exactly. */
  readonly rngSeed?: Uint8Array;
}

/** Offsets in struct boot_params (Linux, Documentation/arch/x86/zero-page.rst and boot.rst). */
const ACPI_RSDP_ADDR = 0x070;
const EXT_RAMDISK_IMAGE = 0x0c0;
const EXT_RAMDISK_SIZE = 0x0c4;
const E820_ENTRIES = 0x1e8;
const SETUP_HEADER = 0x1f1;
const BOOT_FLAG = 0x1fe;
const HEADER = 0x202;
const VERSION = 0x206;
const TYPE_OF_LOADER = 0x210;
const LOADFLAGS = 0x211;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const CMD_LINE_PTR = 0x228;
const KERNEL_ALIGNMENT = 0x230;
const SETUP_DATA_PTR = 0x250;
const INIT_SIZE = 0x260;
const E820_TABLE = 0x2d0;
const E820_ENTRY_SIZE = 20;

const LOADER_UNDEFINED = 0xff;
const LOADED_HIGH = 1;
/** The protocol whose fields are filled in for a kernel that comes without a header: 2.15. */
const PROTOCOL_VERSION = 0x20f;
const SETUP_RNG_SEED = 9;
const FOUR_GIB = 0x1_0000_0000;

/** Writes boot_params to ZERO_PAGE and setup_data behind the command line. */
export function writeBootParams(memory: GuestMemory, params: BootParams): void {
  memory.fill(ZERO_PAGE, 4096, 0);
  writeSetupHeader(memory, params.kernel);
  memory.setU8(ZERO_PAGE + TYPE_OF_LOADER, LOADER_UNDEFINED);
  memory.setU32(ZERO_PAGE + CMD_LINE_PTR, COMMAND_LINE);
  memory.setU64(ZERO_PAGE + ACPI_RSDP_ADDR, params.rsdp);
  const initrd = params.initrd ?? { address: 0, size: 0 };
  memory.setU32(ZERO_PAGE + RAMDISK_IMAGE, initrd.address % FOUR_GIB);
  memory.setU32(ZERO_PAGE + RAMDISK_SIZE, initrd.size % FOUR_GIB);
  memory.setU32(ZERO_PAGE + EXT_RAMDISK_IMAGE, Math.floor(initrd.address / FOUR_GIB));
  memory.setU32(ZERO_PAGE + EXT_RAMDISK_SIZE, Math.floor(initrd.size / FOUR_GIB));
  memory.setU8(ZERO_PAGE + E820_ENTRIES, params.e820.length);
  params.e820.forEach((entry, i) => {
    const at = ZERO_PAGE + E820_TABLE + i * E820_ENTRY_SIZE;
    memory.setU64(at, entry.gpa);
    memory.setU64(at + 8, entry.size);
    memory.setU32(at + 16, entry.type);
  });
  memory.setU64(ZERO_PAGE + SETUP_DATA_PTR, writeSetupData(memory, params.rngSeed));
}

function writeSetupHeader(memory: GuestMemory, kernel: LoadedKernel): void {
  if (kernel.setupHeader !== undefined) {
    memory.write(ZERO_PAGE + SETUP_HEADER, kernel.setupHeader);
    return;
  }
  memory.setU16(ZERO_PAGE + BOOT_FLAG, 0xaa55);
  memory.setU32(ZERO_PAGE + HEADER, 0x5372_6448); // "HdrS"
  memory.setU16(ZERO_PAGE + VERSION, PROTOCOL_VERSION);
  memory.setU8(ZERO_PAGE + LOADFLAGS, LOADED_HIGH);
  memory.setU32(ZERO_PAGE + KERNEL_ALIGNMENT, 0x100_0000);
  memory.setU32(ZERO_PAGE + INIT_SIZE, kernel.initSize);
}

/** The list of setup_data nodes (next, type, length, bytes); returns its address, 0 for an empty list. */
function writeSetupData(memory: GuestMemory, seed: Uint8Array | undefined): Gpa {
  if (seed === undefined) return 0;
  if (seed.length > MP_TABLE - SETUP_DATA - 16) throw new RangeError(`an RNG seed of ${seed.length} bytes is too long`);
  memory.setU64(SETUP_DATA, 0);
  memory.setU32(SETUP_DATA + 8, SETUP_RNG_SEED);
  memory.setU32(SETUP_DATA + 12, seed.length);
  memory.write(SETUP_DATA + 16, seed);
  return SETUP_DATA;
}
