import type { LoadedInitrd } from '../../loader/initrd.ts';
import type { Gpa, GuestMemory } from '../../memory/guest-memory.ts';
import { COMMAND_LINE, type E820Entry, PVH_START_INFO } from './memory-map.ts';

const START_INFO_MAGIC = 0x336e_c578;
const START_INFO_VERSION = 1;
const START_INFO_SIZE = 56;
const MODULE_SIZE = 32;
const MEMORY_MAP_ENTRY_SIZE = 24;

/**
 * Writes hvm_start_info with its module list and memory map (Xen, public/arch-x86/hvm/start_info.h) to PVH_START_INFO.
 * The types of memory are those of E820.
 */
export function writePvhStartInfo(
  memory: GuestMemory,
  info: { readonly initrd?: LoadedInitrd; readonly e820: readonly E820Entry[]; readonly rsdp: Gpa },
): void {
  const modules = PVH_START_INFO + START_INFO_SIZE;
  const memoryMap = modules + MODULE_SIZE;
  memory.fill(PVH_START_INFO, 4096, 0);
  memory.setU32(PVH_START_INFO, START_INFO_MAGIC);
  memory.setU32(PVH_START_INFO + 4, START_INFO_VERSION);
  if (info.initrd !== undefined) {
    memory.setU32(PVH_START_INFO + 12, 1);
    memory.setU64(PVH_START_INFO + 16, modules);
    memory.setU64(modules, info.initrd.address);
    memory.setU64(modules + 8, info.initrd.size);
  }
  memory.setU64(PVH_START_INFO + 24, COMMAND_LINE);
  memory.setU64(PVH_START_INFO + 32, info.rsdp);
  memory.setU64(PVH_START_INFO + 40, memoryMap);
  memory.setU32(PVH_START_INFO + 48, info.e820.length);
  info.e820.forEach((entry, i) => {
    const at = memoryMap + i * MEMORY_MAP_ENTRY_SIZE;
    memory.setU64(at, entry.gpa);
    memory.setU64(at + 8, entry.size);
    memory.setU32(at + 16, entry.type);
  });
}
