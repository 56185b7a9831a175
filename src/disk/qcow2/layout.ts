/**
 * Numbers of the qcow2 format, as in QEMU's docs/interop/qcow2.txt ("the specification" in this folder). All integers
 * of an image are big-endian. Offsets have at most 56 bits there and 53 here: no file is larger.
 */

export const QCOW_MAGIC = 0x514649fb;

/** Incompatible features: an unknown one means that the image cannot be understood. */
export const INCOMPATIBLE_DIRTY = 1;
export const INCOMPATIBLE_CORRUPT = 2;
export const INCOMPATIBLE_DATA_FILE = 4;
export const INCOMPATIBLE_COMPRESSION = 8;
export const INCOMPATIBLE_EXTENDED_L2 = 16;
export const KNOWN_INCOMPATIBLE = 31;

/** Compatible features: can be ignored. */
export const COMPATIBLE_LAZY_REFCOUNTS = 1;

/** Autoclear features: who writes the image without knowing the feature clears the bit. */
export const AUTOCLEAR_BITMAPS = 1;
export const AUTOCLEAR_DATA_FILE_RAW = 2;

export const EXTENSION_END = 0;
export const EXTENSION_BACKING_FORMAT = 0xe2792aca;
export const EXTENSION_FEATURE_NAMES = 0x6803f857;
export const EXTENSION_BITMAPS = 0x23852875;
export const EXTENSION_ENCRYPTION = 0x0537be77;
export const EXTENSION_DATA_FILE = 0x44415441;

export const V2_HEADER_LENGTH = 72;
export const V3_HEADER_LENGTH = 104;
/** Where single fields lie that change while an image is in use. */
export const HEADER_SIZE = 24;
export const HEADER_L1 = 36;
export const HEADER_REFCOUNT_TABLE = 48;
export const HEADER_SNAPSHOTS = 60;
export const HEADER_INCOMPATIBLE = 72;
export const HEADER_AUTOCLEAR = 88;

export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
export const MAX_REFCOUNT_ORDER = 6;
/** Subclusters of a cluster with extended L2 entries. */
export const SUBCLUSTERS = 32;

/** Bounds of our own and QEMU's: what is beyond is no image that anybody made in earnest. */
export const MAX_BACKING_NAME = 1023;
export const MAX_L1_BYTES = 32 << 20;
export const MAX_REFCOUNT_TABLE_BYTES = 8 << 20;
export const MAX_SNAPSHOTS = 65536;
export const MAX_SNAPSHOT_TABLE_BYTES = 16 << 20;
export const MAX_SNAPSHOT_EXTRA = 1024;
export const MAX_BITMAPS = 65535;
export const MAX_BITMAP_DIRECTORY_BYTES = 64 << 20;

/** Bits of the upper half of an L1 or L2 entry. */
export const HI_COPIED = 0x8000_0000;
export const HI_COMPRESSED = 0x4000_0000;
/** Bits 32 to 55 of an offset. */
export const HI_OFFSET = 0x00ff_ffff;
export const HI_RESERVED = 0x3f00_0000;
/** Bits of the lower half: bits 9 to 31 of an offset, what must be 0, and "reads as zeroes". */
export const LO_OFFSET = 0xffff_fe00;
export const LO_ZERO = 1;

export const TWO_32 = 0x1_0000_0000;
