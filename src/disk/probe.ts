import type { ByteStore } from './byte-store.ts';
import { type DiskFormat, unsupported } from './disk.ts';

/** The first bytes of each format. */
const MAGICS: readonly (readonly [DiskFormat, string])[] = [
  ['qcow2', 'QFI\xfb'],
  ['composite', 'composite_disk\x1d'],
  ['android-sparse', '\x3a\xff\x26\xed'],
];
/** The first bytes of images that nobody means as raw. */
const FOREIGN: readonly (readonly [string, string])[] = [
  ['VMDK', 'KDMV'],
  ['VMDK', '# Disk DescriptorFile'],
  ['VHDX', 'vhdxfile'],
  ['QED', 'QED\0'],
  ['Parallels', 'WithouFreSpacExt'],
  ['VDI', '<<< Oracle VM VirtualBox Disk Image >>>'],
];
/** Of a frame with data, and of the table in an image without any. */
const ZSTD_FRAMES = ['\x28\xb5\x2f\xfd', '\x5e\x2a\x4d\x18'];
const ZSTD_SEEK_TABLE = '\xb1\xea\x92\x8f';
export const PROBE_LENGTH = 64;

/** Tells the format of an image by its first bytes (zstd: and last); 'raw' is what nothing else is. */
export function probeFormat(store: ByteStore): DiskFormat {
  const head = bytesAt(store, 0, PROBE_LENGTH);
  const format = formatOf(head);
  if (format !== 'raw') return format;
  for (const [name, magic] of FOREIGN) {
    if (!head.startsWith(magic)) continue;
    throw unsupported(
      store.name,
      `this looks like a ${name} image, which is not supported; if it is raw, say format=raw`,
    );
  }
  const isZstd =
    ZSTD_FRAMES.some((magic) => head.startsWith(magic)) &&
    store.size > 4 &&
    bytesAt(store, store.size - 4, 4) === ZSTD_SEEK_TABLE;
  return isZstd ? 'zstd' : 'raw';
}

/** By the first bytes alone. */
export function formatOf(head: string): DiskFormat {
  return MAGICS.find(([, magic]) => head.startsWith(magic))?.[0] ?? 'raw';
}

/** Bytes as text, a character for each. */
function bytesAt(store: ByteStore, offset: number, length: number): string {
  const bytes = new Uint8Array(length);
  store.read(offset, bytes);
  return String.fromCharCode(...bytes);
}
