import type { Gpa, GuestMemory } from '../memory/guest-memory.ts';
import { type BzImage, isBzImage, parseBzImage } from './bzimage.ts';
import { type ElfImage, type ElfSegment, isElf, parseElf } from './elf.ts';
import { bytesSource, copyToGuest, formatError, type KernelSource, memoryError, readChecked } from './kernel-source.ts';
import { detectPayload, MAX_UNPACKED_SIZE, type PlatformUnpackers } from './unpack/payload.ts';

/** A kernel in guest memory, ready to be entered. */
export interface LoadedKernel {
  /**
   * How it is entered. 'linux64': in long mode with the address of boot_params in RSI (Linux, boot.rst, "64-bit Boot
   * Protocol"). 'linux32': in 32-bit protected mode with that address in ESI (boot.rst, "32-bit Boot Protocol"). 'pvh':
   * in 32-bit protected mode with the address of hvm_start_info in EBX (Xen, pvh.pandoc).
   */
  readonly protocol: 'linux64' | 'linux32' | 'pvh';
  readonly entry: Gpa;
  /** Nothing else may be placed in [start, end) before the kernel runs. */
  readonly start: Gpa;
  readonly end: Gpa;
  /** The setup header of a bzImage, for boot_params; undefined for an ELF file, which has none. */
  readonly setupHeader: Uint8Array | undefined;
  /** `init_size` for boot_params where there is no setup header. */
  readonly initSize: number;
  /** Highest address that the initrd may occupy. */
  readonly initrdAddressMax: Gpa;
  /** Longest command line in bytes, without its NUL. */
  readonly commandLineSize: number;
}

export interface LoadOptions {
  /** With these a bzImage's vmlinux is unpacked here, which is many times faster than letting the guest do it. */
  readonly unpack?: PlatformUnpackers;
}

/** Where a bzImage, and an ELF file linked at 0, is placed. */
export const KERNEL_LOAD_ADDRESS = 0x20_0000;
/** Where Linux runs by default (CONFIG_PHYSICAL_START). */
const LINUX_PHYSICAL_START = 0x100_0000;
/** Below this there are tables and boot structures. */
const LOWEST_SEGMENT = 0x10_0000;
/** What Linux takes where its header gives no better value (boot.rst, initrd_addr_max). */
const DEFAULT_INITRD_ADDRESS_MAX = 0x37ff_ffff;
/** COMMAND_LINE_SIZE of Linux on x86, less the NUL. */
const DEFAULT_COMMAND_LINE_SIZE = 2047;
/**
 * Room in which arch/x86/boot/compressed/vmlinux may unpack itself. The file does not tell how much it needs; too
 * little and it would write over its own input.
 */
const SELF_UNPACK_ROOM = 96 << 20;

/**
 * Puts a kernel into guest memory. Accepted: an ELF vmlinux (addresses are its p_paddr); an ELF file linked at 0
 * (arch/x86/boot/compressed/vmlinux; placed at KERNEL_LOAD_ADDRESS); a bzImage, whose vmlinux is unpacked if
 * `options.unpack` is given and the format is known.
 *
 * Of two entries the 64-bit one is taken: a 64-bit ELF whose e_entry is a physical address within a segment is entered
 * there by the Linux 64-bit protocol, as it is the faster way and needs no PVH support in the kernel. PVH is taken when
 * e_entry is virtual (the BSDs), when the file is 32-bit, or when e_entry *is* the PVH entry (then it is 32-bit code).
 * A 32-bit ELF without a PVH entry is entered at a physical e_entry by the Linux 32-bit protocol.
 *
 * Throws CrosvmError `E_KERNEL_FORMAT`, or `E_KERNEL_MEMORY` if the guest lacks the memory that the kernel wants.
 */
export function loadKernel(source: KernelSource, memory: GuestMemory, options: LoadOptions = {}): LoadedKernel {
  if (source.size === 0) throw formatError(source, 'the file is empty');
  if (isElf(source)) return loadElf(source, memory);
  if (isBzImage(source)) return loadBzImage(source, memory, options);
  throw formatError(source, 'this is not a kernel (neither an ELF vmlinux nor a bzImage)');
}

function loadElf(source: KernelSource, memory: GuestMemory): LoadedKernel {
  const image = parseElf(source);
  const linkedAtZero = image.segments.some((s) => s.physicalAddress === 0);
  const base = linkedAtZero ? KERNEL_LOAD_ADDRESS : 0;
  const placed = placeSegments(source, memory, image, base);
  const choice = chooseEntry(source, image, placed, base);
  const room = linkedAtZero ? SELF_UNPACK_ROOM : 0;
  const end = Math.max(endOf(placed), room && LINUX_PHYSICAL_START + room);
  if (room > 0) requireMemory(source, memory, LINUX_PHYSICAL_START, room);
  for (const s of placed) copySegment(source, memory, s);
  return {
    ...choice,
    start: placed[0]!.physicalAddress,
    end,
    setupHeader: undefined,
    initSize: room,
    initrdAddressMax: DEFAULT_INITRD_ADDRESS_MAX,
    commandLineSize: DEFAULT_COMMAND_LINE_SIZE,
  };
}

/** The segments in order of their addresses in guest memory, after all checks. */
function placeSegments(source: KernelSource, memory: GuestMemory, image: ElfImage, base: Gpa): ElfSegment[] {
  const placed = image.segments
    .map((s) => ({ ...s, physicalAddress: s.physicalAddress + base }))
    .sort((a, b) => a.physicalAddress - b.physicalAddress);
  let end = 0;
  for (const s of placed) {
    const at = `0x${s.physicalAddress.toString(16)}`;
    if (s.physicalAddress < LOWEST_SEGMENT) throw formatError(source, `the ELF segment at ${at} is below 1 MiB`);
    if (s.physicalAddress < end) throw formatError(source, `the ELF segment at ${at} overlaps another one`);
    requireMemory(source, memory, s.physicalAddress, s.memorySize);
    end = s.physicalAddress + s.memorySize;
  }
  return placed;
}

function chooseEntry(
  source: KernelSource,
  image: ElfImage,
  placed: readonly ElfSegment[],
  base: Gpa,
): Pick<LoadedKernel, 'protocol' | 'entry'> {
  const isInside = (a: Gpa) => placed.some((s) => a >= s.physicalAddress && a < s.physicalAddress + s.fileSize);
  const entry = image.entry + base;
  const pvhEntry = image.pvhEntry === undefined ? undefined : image.pvhEntry + base;
  if (image.is64Bit && entry !== pvhEntry && isInside(entry)) return { protocol: 'linux64', entry };
  if (pvhEntry !== undefined) {
    if (isInside(pvhEntry)) return { protocol: 'pvh', entry: pvhEntry };
    throw formatError(source, `the PVH entry 0x${pvhEntry.toString(16)} is outside the ELF segments`);
  }
  if (!image.is64Bit && isInside(entry)) return { protocol: 'linux32', entry };
  throw formatError(source, `the entry 0x${entry.toString(16)} is outside the ELF segments`);
}

function copySegment(source: KernelSource, memory: GuestMemory, s: ElfSegment): void {
  copyToGuest(source, s.offset, s.fileSize, memory, s.physicalAddress);
  memory.fill(s.physicalAddress + s.fileSize, s.memorySize - s.fileSize, 0);
}

function loadBzImage(source: KernelSource, memory: GuestMemory, options: LoadOptions): LoadedKernel {
  const image = parseBzImage(source);
  const header = {
    setupHeader: image.setupHeader,
    initSize: image.initSize,
    initrdAddressMax: image.initrdAddressMax || DEFAULT_INITRD_ADDRESS_MAX,
    commandLineSize: image.commandLineSize || DEFAULT_COMMAND_LINE_SIZE,
  };
  const vmlinux = options.unpack && unpackPayload(source, image, options.unpack);
  if (vmlinux !== undefined) {
    const loaded = loadElf(vmlinux, memory);
    vmlinux.release?.();
    return { ...loaded, ...header };
  }
  requireMemory(source, memory, KERNEL_LOAD_ADDRESS, image.kernelSize);
  // It moves itself there and needs that much to unpack and to run until it reads the memory map.
  const runAddress = Math.max(image.preferredAddress, KERNEL_LOAD_ADDRESS);
  requireMemory(source, memory, runAddress, image.initSize);
  copyToGuest(source, image.kernelOffset, image.kernelSize, memory, KERNEL_LOAD_ADDRESS);
  return {
    ...(image.has64BitEntry
      ? { protocol: 'linux64', entry: KERNEL_LOAD_ADDRESS + 0x200 }
      : { protocol: 'linux32', entry: KERNEL_LOAD_ADDRESS }),
    start: KERNEL_LOAD_ADDRESS,
    end: Math.max(KERNEL_LOAD_ADDRESS + image.kernelSize, runAddress + image.initSize),
    ...header,
  };
}

/** The vmlinux in a bzImage; undefined if there is none or if it is packed in a way that only the kernel knows. */
export function unpackPayload(
  source: KernelSource,
  image: BzImage,
  platform: PlatformUnpackers,
): KernelSource | undefined {
  if (image.payloadLength < 16) return undefined;
  const packed = readChecked(source, image.payloadOffset, image.payloadLength, 'the payload');
  const format = detectPayload(packed, platform);
  if (format === undefined) return undefined;
  const sizeAt = packed.length - 4;
  const size = new DataView(packed.buffer, packed.byteOffset + sizeAt, 4).getUint32(0, true);
  if (size === 0 || size > MAX_UNPACKED_SIZE) {
    throw formatError(source, `the payload announces ${size} bytes unpacked, more than a kernel has (512 MiB) or none`);
  }
  const vmlinux = bytesSource(`${source.name} (unpacked)`, runUnpacker(source, format, packed, size));
  if (!isElf(vmlinux)) throw formatError(source, `the ${format.name} payload does not hold an ELF file`);
  return vmlinux;
}

function runUnpacker(
  source: KernelSource,
  format: NonNullable<ReturnType<typeof detectPayload>>,
  packed: Uint8Array,
  size: number,
): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = format.unpack(format.sizeAppended ? packed.subarray(0, -4) : packed, size);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw formatError(source, `the ${format.name} payload cannot be unpacked: ${why}`, { cause });
  }
  if (bytes.length === size) return bytes;
  throw formatError(source, `the ${format.name} payload unpacks to ${bytes.length} bytes, not to ${size} as announced`);
}

function endOf(placed: readonly ElfSegment[]): Gpa {
  const last = placed.at(-1)!;
  return last.physicalAddress + last.memorySize;
}

function requireMemory(source: KernelSource, memory: GuestMemory, gpa: Gpa, length: number): void {
  if (memory.contains(gpa, length)) return;
  const mib = Math.ceil((gpa + length) / (1 << 20));
  throw memoryError(
    source,
    `the kernel needs memory from 0x${gpa.toString(16)} to 0x${(gpa + length).toString(16)} (${mib} MiB),` +
      ` which the guest does not have; give it more with --mem`,
  );
}
