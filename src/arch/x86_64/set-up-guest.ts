import type { MsrEntry } from '../../hypervisor/hypervisor.ts';
import { loadInitrd } from '../../loader/initrd.ts';
import { type LoadedKernel, loadKernel } from '../../loader/kernel.ts';
import type { KernelSource } from '../../loader/kernel-source.ts';
import type { PlatformUnpackers } from '../../loader/unpack/payload.ts';
import type { Gpa, GuestMemory } from '../../memory/guest-memory.ts';
import { buildAcpi, type UserTable } from './acpi/acpi.ts';
import { loadBios } from './bios.ts';
import { writeBootParams } from './boot-params.ts';
import { type EntryState, linux32Entry, linux64Entry, pvhEntry, resetVectorEntry } from './boot-registers.ts';
import { encodeCommandLine } from './cmdline.ts';
import { type AddressRange, COMMAND_LINE, COMMAND_LINE_ROOM, e820Table, highMmio, ramLayout } from './memory-map.ts';
import { writeMpTable } from './mp-table.ts';
import { initialMsrs } from './msrs.ts';
import { writePvhStartInfo } from './pvh.ts';
import { writeSmbios } from './smbios.ts';

/** A kernel, or a firmware ROM whose region (`romRegion`) the guest memory has beside its RAM. */
export type BootImage =
  | {
      readonly kind: 'kernel';
      readonly kernel: KernelSource;
      readonly initrd?: KernelSource;
      /** Without these a bzImage unpacks itself in the guest. */
      readonly unpack?: PlatformUnpackers;
    }
  | { readonly kind: 'bios'; readonly rom: KernelSource };

export interface GuestConfig {
  readonly boot: BootImage;
  /** From `buildCommandLine`. Firmware finds it in memory too, at COMMAND_LINE. */
  readonly commandLine: string;
  /** Bytes of RAM, as `ramLayout` has laid them out. */
  readonly ramSize: number;
  /** Files that are memory, as `fileMemory` has laid them out. */
  readonly files?: readonly AddressRange[];
  readonly cpus: number;
  /** The guest's physical address bits (`physicalAddressBits`), and how many variable MTRRs it has. */
  readonly addressBits: number;
  readonly variableMtrrs: number;
  /** Serial ports that exist: 1-4 for COM1-COM4. */
  readonly serialPorts: readonly number[];
  readonly acpiTables?: readonly UserTable[];
  /** Random bytes for the guest's generator. */
  readonly rngSeed?: Uint8Array;
}

/** The state in which the bootstrap processor starts. The others stay in the state after reset and wait for SIPI. */
export interface BootState extends EntryState {
  /** For every vCPU. */
  readonly msrs: readonly MsrEntry[];
  /** Where the kernel lies; undefined for a ROM. */
  readonly kernel: LoadedKernel | undefined;
}

/**
 * Fills guest memory with everything that a guest finds at its start: kernel and initrd or ROM, command line, boot
 * structures, ACPI, MP and SMBIOS tables. Throws CrosvmError for bad files and for what does not fit.
 */
export function setUpGuest(memory: GuestMemory, config: GuestConfig): BootState {
  const rsdp = writeTables(memory, config);
  const msrs = initialMsrs(config);
  const { boot } = config;
  if (boot.kind === 'bios') {
    memory.write(COMMAND_LINE, encodeCommandLine(config.commandLine, COMMAND_LINE_ROOM - 1));
    loadBios(boot.rom, memory);
    return { ...resetVectorEntry(), msrs, kernel: undefined };
  }
  const kernel = loadKernel(boot.kernel, memory, boot.unpack === undefined ? {} : { unpack: boot.unpack });
  memory.write(COMMAND_LINE, encodeCommandLine(config.commandLine, kernel.commandLineSize));
  const loaded = {
    ...(boot.initrd === undefined ? {} : { initrd: loadInitrd(boot.initrd, memory, kernel) }),
    e820: e820Table(ramLayout(config.ramSize, config.addressBits)),
    rsdp,
  };
  if (kernel.protocol === 'pvh') {
    writePvhStartInfo(memory, loaded);
    return { ...pvhEntry(memory, kernel.entry), msrs, kernel };
  }
  const seed = config.rngSeed === undefined ? {} : { rngSeed: config.rngSeed };
  writeBootParams(memory, { kernel, ...loaded, ...seed });
  const enter = kernel.protocol === 'linux64' ? linux64Entry : linux32Entry;
  return { ...enter(memory, kernel.entry), msrs, kernel };
}

/** Writes the firmware's tables; returns the address of the RSDP. */
function writeTables(memory: GuestMemory, config: GuestConfig): Gpa {
  const apicIds = Array.from({ length: config.cpus }, (_, id) => id);
  const acpi = buildAcpi({
    apicIds,
    highMmio: highMmio(config.ramSize, config.addressBits, config.files),
    serialPorts: config.serialPorts,
    userTables: config.acpiTables ?? [],
  });
  for (const { address, bytes } of acpi.tables) memory.write(address, bytes);
  writeMpTable(memory, apicIds);
  writeSmbios(memory);
  return acpi.rsdp;
}
