/** A GUID partition table, UEFI specification section 5.3. All numbers are little-endian. */
import { crc32 } from '../../loader/unpack/crc.ts';

export const SECTOR = 512;
const ENTRIES = 128;
const ENTRY_BYTES = 128;
const HEADER_BYTES = 92;
const ENTRY_SECTORS = (ENTRIES * ENTRY_BYTES) / SECTOR;
const NAME_UNITS = 36;

/** Protective MBR, header, entries. */
export const GPT_START_SECTORS = 2 + ENTRY_SECTORS;
/** Entries and header again, at the end of the disk. */
export const GPT_END_SECTORS = ENTRY_SECTORS + 1;
export const MAX_PARTITIONS = ENTRIES;

export const LINUX_FILESYSTEM = '0fc63daf-8483-4772-8e79-3d69d8477de4';
export const EFI_SYSTEM = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';

export interface Partition {
  readonly label: string;
  /** GUIDs as text. */
  readonly type: string;
  readonly guid: string;
  /** Bytes; multiples of a sector. */
  readonly offset: number;
  readonly length: number;
}

/** The first and the last sectors of a disk of `size` bytes with these partitions. */
export function buildGpt(
  size: number,
  diskGuid: string,
  partitions: readonly Partition[],
): { start: Uint8Array; end: Uint8Array } {
  const sectors = size / SECTOR;
  const entries = new Uint8Array(ENTRIES * ENTRY_BYTES);
  partitions.forEach((partition, i) => {
    entries.set(encodeEntry(partition), i * ENTRY_BYTES);
  });
  const header = (at: number, other: number, entriesAt: number) =>
    encodeHeader(sectors, diskGuid, crc32(entries), { at, other, entriesAt });

  const start = new Uint8Array(GPT_START_SECTORS * SECTOR);
  start.set(protectiveMbr(sectors));
  start.set(header(1, sectors - 1, 2), SECTOR);
  start.set(entries, 2 * SECTOR);
  const end = new Uint8Array(GPT_END_SECTORS * SECTOR);
  end.set(entries);
  end.set(header(sectors - 1, 1, sectors - GPT_END_SECTORS), entries.length);
  return { start, end };
}

function encodeHeader(
  sectors: number,
  diskGuid: string,
  entriesCrc: number,
  place: { at: number; other: number; entriesAt: number },
): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  const bytes = new Uint8Array(view.buffer);
  bytes.set(new TextEncoder().encode('EFI PART'));
  view.setUint32(8, 0x0001_0000, true);
  view.setUint32(12, HEADER_BYTES, true);
  setU64(view, 24, place.at);
  setU64(view, 32, place.other);
  setU64(view, 40, GPT_START_SECTORS);
  setU64(view, 48, sectors - GPT_END_SECTORS - 1);
  bytes.set(guidBytes(diskGuid), 56);
  setU64(view, 72, place.entriesAt);
  view.setUint32(80, ENTRIES, true);
  view.setUint32(84, ENTRY_BYTES, true);
  view.setUint32(88, entriesCrc, true);
  view.setUint32(16, crc32(bytes), true);
  return bytes;
}

function encodeEntry({ label, type, guid, offset, length }: Partition): Uint8Array {
  const view = new DataView(new ArrayBuffer(ENTRY_BYTES));
  const bytes = new Uint8Array(view.buffer);
  bytes.set(guidBytes(type));
  bytes.set(guidBytes(guid), 16);
  setU64(view, 32, offset / SECTOR);
  setU64(view, 40, (offset + length) / SECTOR - 1);
  for (let i = 0; i < Math.min(label.length, NAME_UNITS); i++) view.setUint16(56 + i * 2, label.charCodeAt(i), true);
  return bytes;
}

/** So that programs which know no GPT see a disk that is full. */
function protectiveMbr(sectors: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(SECTOR));
  const entry = 446;
  view.setUint8(entry + 2, 2); // first sector in cylinders, heads, sectors: 0/0/2
  view.setUint8(entry + 4, 0xee);
  view.setUint32(entry + 5, 0x00ff_ffff, true); // and the last, beyond what they can say
  view.setUint32(entry + 8, 1, true);
  view.setUint32(entry + 12, Math.min(sectors - 1, 0xffff_ffff), true);
  view.setUint16(510, 0xaa55, true);
  return new Uint8Array(view.buffer);
}

/** The first three groups of a GUID are little-endian numbers, the others bytes. */
export function guidBytes(guid: string): Uint8Array {
  const bytes = Uint8Array.from(guid.replaceAll('-', '').match(/../g)!, (pair) => Number.parseInt(pair, 16));
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 0x1_0000_0000, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}
