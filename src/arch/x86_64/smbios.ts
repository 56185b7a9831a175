import type { GuestMemory } from '../../memory/guest-memory.ts';
import { ascii, type Bytes, checksum, u16, u32, u64, zeros } from './bytes.ts';
import { SMBIOS_ENTRY_POINT } from './memory-map.ts';

const ENTRY_POINT_LENGTH = 24;
const TYPE_BIOS = 0;
const TYPE_SYSTEM = 1;
const TYPE_END = 127;
/** "BIOS characteristics not supported". */
const CHARACTERISTICS_UNKNOWN = 8;
/** Extension byte 2: the table describes a virtual machine. */
const IS_VIRTUAL_MACHINE = 1 << 4;
const WAKE_POWER_SWITCH = 6;

/** Writes the SMBIOS 3.0 entry point and, right behind it, the tables (DMTF DSP0134): BIOS, system, end. */
export function writeSmbios(memory: GuestMemory): void {
  const structures = [bios(), system(), structure(TYPE_END, 2, [], [])].flat();
  const entry = [
    ...ascii('_SM3_', 5),
    0,
    ENTRY_POINT_LENGTH,
    3,
    2,
    0,
    1, // entry point revision
    0,
    ...u32(structures.length),
    ...u64(SMBIOS_ENTRY_POINT + ENTRY_POINT_LENGTH),
  ];
  entry[5] = checksum(entry);
  memory.write(SMBIOS_ENTRY_POINT, Uint8Array.from([...entry, ...structures]));
}

function bios(): Bytes {
  const noSegment = u16(0);
  const noDate = 0;
  return structure(
    TYPE_BIOS,
    0,
    [
      1,
      2,
      ...noSegment,
      noDate,
      0,
      ...u64(CHARACTERISTICS_UNKNOWN),
      0,
      IS_VIRTUAL_MACHINE,
      0,
      0,
      0xff,
      0xff,
      ...u16(0),
    ],
    ['crosvm', '0'],
  );
}

function system(): Bytes {
  const noUuid = zeros(16);
  return structure(TYPE_SYSTEM, 1, [1, 2, 0, 0, ...noUuid, WAKE_POWER_SWITCH, 0, 0], ['ChromiumOS', 'crosvm']);
}

/** Type, length of the formatted part, handle, formatted part, strings (counted from 1) and the empty one that ends them. */
function structure(type: number, handle: number, fields: Bytes, strings: readonly string[]): Bytes {
  const texts = strings.flatMap((s) => [...ascii(s), 0]);
  return [type, 4 + fields.length, ...u16(handle), ...fields, ...(texts.length > 0 ? texts : [0]), 0];
}
