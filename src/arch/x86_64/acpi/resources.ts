/** Resource descriptors for _CRS (ACPI 6.3, 6.4). Ranges are given by start and length. */
import { type Bytes, u16, u32, u64 } from '../bytes.ts';
import { buffer } from './aml.ts';

const SMALL_IRQ_WITH_FLAGS = 0x23;
const SMALL_IO = 0x47;
const SMALL_END_TAG = 0x79;
const LARGE_MEMORY32_FIXED = 0x86;
const LARGE_DWORD_ADDRESS = 0x87;
const LARGE_WORD_ADDRESS = 0x88;
const LARGE_QWORD_ADDRESS = 0x8a;

const TYPE_MEMORY = 0;
const TYPE_IO = 1;
const TYPE_BUS = 2;
/** Minimum and maximum are fixed; positive decode; the device produces the range for its children. */
const PRODUCER_FIXED = 0x0c;
const IO_ENTIRE_RANGE = 3;
const MEMORY_READ_WRITE = 1;
const MEMORY_CACHEABLE_PREFETCHABLE = 3 << 1;
const IRQ_EDGE_HIGH_SHARED = 0x11;

/** A _CRS buffer of these descriptors; the checksum of the end tag is 0, "not used". */
export function resources(descriptors: readonly Bytes[]): Bytes {
  return buffer([...descriptors.flat(), SMALL_END_TAG, 0]);
}

/** I/O ports that the device itself decodes, all 16 address bits. */
export function ioPorts(start: number, length: number): Bytes {
  return [SMALL_IO, 1, ...u16(start), ...u16(start), 1, length];
}

/** An edge-triggered ISA interrupt that may be shared. */
export function isaIrq(irq: number): Bytes {
  return [SMALL_IRQ_WITH_FLAGS, ...u16(1 << irq), IRQ_EDGE_HIGH_SHARED];
}

/** Memory that the device itself decodes. */
export function fixedMemory(start: number, length: number): Bytes {
  return [LARGE_MEMORY32_FIXED, ...u16(9), 1, ...u32(start), ...u32(length)];
}

export function busRange(first: number, count: number): Bytes {
  return [LARGE_WORD_ADDRESS, ...u16(13), TYPE_BUS, PRODUCER_FIXED, 0, ...addressFields(u16, first, count)];
}

export function ioWindow(start: number, length: number): Bytes {
  return [
    LARGE_WORD_ADDRESS,
    ...u16(13),
    TYPE_IO,
    PRODUCER_FIXED,
    IO_ENTIRE_RANGE,
    ...addressFields(u16, start, length),
  ];
}

/** Memory below 4 GiB for BARs. */
export function memoryWindow32(start: number, length: number): Bytes {
  return [
    LARGE_DWORD_ADDRESS,
    ...u16(23),
    TYPE_MEMORY,
    PRODUCER_FIXED,
    MEMORY_READ_WRITE,
    ...addressFields(u32, start, length),
  ];
}

/** Memory anywhere for 64-bit BARs, prefetchable. */
export function memoryWindow64(start: number, length: number): Bytes {
  return [
    LARGE_QWORD_ADDRESS,
    ...u16(43),
    TYPE_MEMORY,
    PRODUCER_FIXED,
    MEMORY_READ_WRITE | MEMORY_CACHEABLE_PREFETCHABLE,
    ...addressFields(u64, start, length),
  ];
}

/** Granularity, minimum, maximum, translation, length. */
function addressFields(field: (value: number) => Bytes, start: number, length: number): Bytes {
  return [...field(0), ...field(start), ...field(start + length - 1), ...field(0), ...field(length)];
}
