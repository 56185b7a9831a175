/** What is in guest memory when the vCPUs start. */

import { romRegion } from '../arch/x86_64/bios.ts';
import type { EntryState } from '../arch/x86_64/boot-registers.ts';
import { buildCommandLine } from '../arch/x86_64/cmdline.ts';
import type { AddressRange } from '../arch/x86_64/memory-map.ts';
import { type BootImage, setUpGuest } from '../arch/x86_64/set-up-guest.ts';
import { randomBytes } from '../base/random.ts';
import { platformUnpackers } from '../base/zlib.ts';
import { CrosvmError } from '../errors.ts';
import { STREAM, seededBytes } from '../hypervisor/seeded-random.ts';
import type { GuestMemory, MemoryLayoutEntry } from '../memory/guest-memory.ts';
import type { VmConfig } from './config.ts';
import { rootDisk } from './devices/root-disk.ts';
import type { GuestFiles } from './guest-files.ts';
import { guestConsoles, type SerialPorts } from './serial-ports.ts';

const RNG_SEED_BYTES = 256;
/** Larger ACPI tables would not fit into the guest's first MiB anyway. */
const MAX_ACPI_TABLE = 64 << 10;

/** RAM, and the ROM of a guest that has one. */
export function guestMemoryLayout(ram: readonly AddressRange[], files: GuestFiles): MemoryLayoutEntry[] {
  if (files.bios === undefined) return [...ram];
  const rom = { ...romRegion(files.bios.name, files.bios.size), readOnly: true };
  return [...ram, rom].sort((a, b) => a.gpa - b.gpa);
}

/** The kernel's command line. Throws `E_CMDLINE`. */
export function guestCommandLine(config: VmConfig, ports: SerialPorts): string {
  return buildCommandLine({ ...guestConsoles(ports), root: rootDisk(config), params: config.params });
}

/** Fills guest memory; returns the state in which vCPU 0 starts. Throws `CrosvmError`s about files that are no good. */
export function loadGuest(
  config: VmConfig,
  files: GuestFiles,
  ports: SerialPorts,
  memory: GuestMemory,
  machine: { readonly ramSize: number; readonly files: readonly AddressRange[]; readonly addressBits: number },
): EntryState {
  const { registers, systemRegisters } = setUpGuest(memory, {
    boot: bootImage(files),
    commandLine: guestCommandLine(config, ports),
    ...machine,
    cpus: config.cpus,
    // The vCPUs' threads know how many there are, and set them.
    variableMtrrs: 0,
    serialPorts: ports.com.map((port) => port.num),
    acpiTables: files.acpiTables.map(({ name, size, readAt }) => {
      if (size > MAX_ACPI_TABLE) throw new CrosvmError('E_ACPI_TABLE', `${name}: too large for an ACPI table`);
      return { name, bytes: readAt(0, size) };
    }),
    rngSeed:
      config.deterministic === undefined
        ? randomBytes(RNG_SEED_BYTES)
        : seededBytes(config.deterministic, STREAM.boot, RNG_SEED_BYTES),
  });
  return { registers, systemRegisters };
}

function bootImage({ kernel, initrd, bios }: GuestFiles): BootImage {
  if (bios !== undefined) return { kind: 'bios', rom: bios };
  return { kind: 'kernel', kernel: kernel!, unpack: platformUnpackers, ...(initrd && { initrd }) };
}
