import { formatError, type KernelSource, readChecked } from './kernel-source.ts';

/**
 * The header of a bzImage (Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"). Offsets in the
 * file equal offsets in boot_params.
 */
export interface BzImage {
  /** Boot protocol version, major * 256 + minor. */
  readonly version: number;
  /** The bytes of the setup header, to be copied to SETUP_HEADER_OFFSET of boot_params. */
  readonly setupHeader: Uint8Array;
  /** The protected-mode kernel in the file. */
  readonly kernelOffset: number;
  readonly kernelSize: number;
  /** Whether it can be entered in long mode at + 0x200 (XLF_KERNEL_64). */
  readonly has64BitEntry: boolean;
  /** Where the kernel moves itself to, and the memory it needs from there on before it knows the memory map. */
  readonly preferredAddress: number;
  readonly initSize: number;
  /** Highest address that the initrd may occupy. */
  readonly initrdAddressMax: number;
  /** Longest command line without its NUL. */
  readonly commandLineSize: number;
  /** The compressed vmlinux in the file; length 0 if the header does not tell. */
  readonly payloadOffset: number;
  readonly payloadLength: number;
}

export const SETUP_HEADER_OFFSET = 0x1f1;
/** The header ends before the tables that follow it in boot_params (edd_mbr_sig_buffer at 0x290). */
const SETUP_HEADER_END_MAX = 0x290;
const HEADER_MAGIC = 0x5372_6448; // "HdrS"
const BOOT_FLAG = 0xaa55;
const LOADED_HIGH = 1;
const XLF_KERNEL_64 = 1;
const SECTOR = 512;
/** Room of the header up to protocol 2.12, the first with xloadflags. */
const MIN_HEADER_BYTES = 0x264;
const PROTOCOL_XLOADFLAGS = 0x20c;

/** Whether the file carries the magic of a Linux boot header. */
export function isBzImage(source: KernelSource): boolean {
  return (
    source.size >= MIN_HEADER_BYTES &&
    viewOf(source.readAt(0, MIN_HEADER_BYTES)).getUint32(0x202, true) === HEADER_MAGIC
  );
}

/** Parses and checks the header. Throws `E_KERNEL_FORMAT`. */
export function parseBzImage(source: KernelSource): BzImage {
  const view = viewOf(readChecked(source, 0, MIN_HEADER_BYTES, 'the boot header'));
  if (view.getUint16(0x1fe, true) !== BOOT_FLAG) throw formatError(source, 'the boot header lacks the flag 0xaa55');
  const version = view.getUint16(0x206, true);
  if (version < PROTOCOL_XLOADFLAGS) {
    throw formatError(source, `boot protocol ${version >> 8}.${version & 0xff} is older than 2.12 (Linux 3.8)`);
  }
  if ((view.getUint8(0x211) & LOADED_HIGH) === 0) throw formatError(source, 'a zImage, loaded low, is not supported');
  // Zero stands for 4 since the days when the field did not exist.
  const setupSectors = view.getUint8(0x1f1) || 4;
  const kernelOffset = (setupSectors + 1) * SECTOR;
  const kernelSize = view.getUint32(0x1f4, true) * 16;
  // syssize is rounded up to 16 bytes, the file need not be.
  if (kernelSize === 0 || kernelOffset + kernelSize > source.size + 15) {
    throw formatError(
      source,
      `the boot header announces ${kernelSize} bytes of kernel at offset ${kernelOffset}, the file has ${source.size}`,
    );
  }
  const image = {
    version,
    setupHeader: readSetupHeader(source, view),
    kernelOffset,
    kernelSize: Math.min(kernelSize, source.size - kernelOffset),
    has64BitEntry: (view.getUint16(0x236, true) & XLF_KERNEL_64) !== 0,
    preferredAddress: view.getUint32(0x258, true) + view.getUint32(0x25c, true) * 0x1_0000_0000,
    initSize: view.getUint32(0x260, true),
    initrdAddressMax: view.getUint32(0x22c, true),
    commandLineSize: view.getUint32(0x238, true),
    payloadOffset: kernelOffset + view.getUint32(0x248, true),
    payloadLength: view.getUint32(0x24c, true),
  };
  if (image.payloadOffset + image.payloadLength > kernelOffset + image.kernelSize) {
    throw formatError(
      source,
      `the boot header's payload (${image.payloadLength} bytes at offset ${image.payloadOffset}) is outside the kernel`,
    );
  }
  return image;
}

/** The header's length is told by the displacement of the jump at 0x200: it jumps over the header. */
function readSetupHeader(source: KernelSource, view: DataView): Uint8Array {
  const end = 0x202 + view.getUint8(0x201);
  if (end < MIN_HEADER_BYTES || end > SETUP_HEADER_END_MAX) {
    throw formatError(source, `the boot header ends at 0x${end.toString(16)}, which is not a header's end`);
  }
  return readChecked(source, SETUP_HEADER_OFFSET, end - SETUP_HEADER_OFFSET, 'the boot header').slice();
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
