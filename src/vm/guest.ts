/** What is in guest memory when the vCPUs start. */
import { loadBios, romRegion } from '../arch/x86_64/bios.ts';
import { ramLayout } from '../arch/x86_64/memory-map.ts';
import type { GuestMemory, MemoryLayoutEntry } from '../memory/guest-memory.ts';
import type { VmConfig } from './config.ts';
import type { GuestFiles } from './guest-files.ts';
import type { SerialPortConfig } from './serial-ports.ts';
import type { VcpuSetup } from './vcpu-setup.ts';

const MIB = 1 << 20;

/** RAM, and the ROM of a guest that has one. */
export function guestMemoryLayout(config: VmConfig, files: GuestFiles): MemoryLayoutEntry[] {
  const ram = ramLayout(config.mem * MIB);
  if (files.bios === undefined) return ram;
  const rom = { ...romRegion(files.bios.name, files.bios.size), readOnly: true };
  return [...ram, rom].sort((a, b) => a.gpa - b.gpa);
}

export function loadGuest(
  config: VmConfig,
  files: GuestFiles,
  _ports: readonly SerialPortConfig[],
  memory: GuestMemory,
): VcpuSetup[] {
  if (files.bios !== undefined) loadBios(files.bios, memory);
  return Array.from({ length: config.cpus }, () => ({ kind: 'reset' }));
}
