import { isBzImage, parseBzImage, SETUP_HEADER_OFFSET } from './bzimage.ts';
import { isElf } from './elf.ts';
import { type KernelSource, readChecked } from './kernel-source.ts';

/** What a file says of the Linux kernel in it. */
export interface LinuxFacts {
  /** As `uname -r` prints it. */
  readonly release: string;
  /** How it mounts its root file system when the command line does not say. */
  readonly mountsReadOnly: boolean;
}

/** Offsets in a bzImage (Linux, Documentation/arch/x86/boot.rst). */
const ROOT_FLAGS = 0x1f2;
const KERNEL_VERSION = 0x20e;
/** What kernel_version is relative to. */
const HEADER_START = 0x200;
const MAX_VERSION = 256;

const CHUNK = 1 << 20;

/** A name of a folder in /lib/modules, and nothing that leads elsewhere. */
const RELEASE = /^\d[\w.+~-]*/;
const BANNER = /Linux version (\d[\w.+~-]*) \(/;

/** Undefined if the file does not say. Throws `E_KERNEL_FORMAT` for a bzImage that is none. */
export function linuxFacts(source: KernelSource): LinuxFacts | undefined {
  if (isBzImage(source)) return bzImageFacts(source);
  const release = isElf(source) ? bannerRelease(source) : undefined;
  // Without a boot header its root_flags are zero: it may be written.
  return release === undefined ? undefined : { release, mountsReadOnly: false };
}

function bzImageFacts(source: KernelSource): LinuxFacts | undefined {
  const { setupHeader } = parseBzImage(source);
  const header = new DataView(setupHeader.buffer, setupHeader.byteOffset, setupHeader.byteLength);
  const version = header.getUint16(KERNEL_VERSION - SETUP_HEADER_OFFSET, true);
  if (version === 0) return undefined;
  const start = HEADER_START + version;
  const length = Math.min(MAX_VERSION, Math.max(0, source.size - start));
  const text = latin1(readChecked(source, start, length, 'the version of the kernel'));
  const [release] = RELEASE.exec(text) ?? [];
  const mountsReadOnly = header.getUint16(ROOT_FLAGS - SETUP_HEADER_OFFSET, true) !== 0;
  return release === undefined ? undefined : { release, mountsReadOnly };
}

/** The release in linux_banner, which /proc/version shows (init/version.c). */
function bannerRelease(source: KernelSource): string | undefined {
  for (let at = 0; at < source.size; at += CHUNK) {
    const bytes = source.readAt(at, Math.min(CHUNK + MAX_VERSION, source.size - at));
    const [, release] = BANNER.exec(latin1(bytes)) ?? [];
    if (release !== undefined) return release;
  }
  return undefined;
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes);
}
