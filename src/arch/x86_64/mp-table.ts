import type { GuestMemory } from '../../memory/guest-memory.ts';
import { ascii, type Bytes, checksum, u16, u32, zeros } from './bytes.ts';
import { MP_FLOATING_POINTER, MP_TABLE } from './memory-map.ts';
import { IOAPIC_ADDRESS, LAPIC_ADDRESS, PCI_INTX_IRQS, pciIntxIrq, SCI_IRQ } from './platform.ts';

const SPEC_1_4 = 4;
const PROCESSOR = 0;
const BUS = 1;
const IOAPIC = 2;
const IO_INTERRUPT = 3;
const LOCAL_INTERRUPT = 4;
const ENABLED = 1;
const BOOTSTRAP = 2;
const APIC_VERSION = 0x14;
const CPU_STEPPING = 0x600;
/** FPU and APIC. */
const CPU_FEATURES = 0x201;
const PCI_BUS = 0;
const ISA_BUS = 1;
const TYPE_INT = 0;
const TYPE_NMI = 1;
const TYPE_EXTINT = 3;
const CONFORMS = 0;
const LEVEL_HIGH = 0xd;
const LEVEL_LOW = 0xf;
const ISA_IRQS = 16;
const PCI_DEVICES = 32;
const PCI_PINS = 4;
/** Ids are one byte; the last one is broadcast and one is for the IOAPIC. */
const MAX_PROCESSORS = 254;

/**
 * Writes the MultiProcessor tables (Intel, MultiProcessor Specification 1.4), for guests that run without ACPI. vCPUs
 * beyond the 254 that it can name are left out, as are those with an APIC id above 253.
 */
export function writeMpTable(memory: GuestMemory, apicIds: readonly number[]): void {
  const config = configurationTable(apicIds.filter((id) => id < MAX_PROCESSORS));
  if (config.length > MP_FLOATING_POINTER - MP_TABLE) throw new RangeError('the MP table is too long');
  memory.write(MP_TABLE, Uint8Array.from(config));
  const pointer = [...ascii('_MP_', 4), ...u32(MP_TABLE), 1, SPEC_1_4, 0, ...zeros(5)];
  pointer[10] = checksum(pointer);
  memory.write(MP_FLOATING_POINTER, Uint8Array.from(pointer));
}

function configurationTable(apicIds: readonly number[]): Bytes {
  const ioapicId = Math.max(...apicIds) + 1;
  const entries: Bytes[] = [
    ...apicIds.map((id, i) => processor(id, i === 0)),
    [BUS, PCI_BUS, ...ascii('PCI', 6, 0x20)],
    [BUS, ISA_BUS, ...ascii('ISA', 6, 0x20)],
    [IOAPIC, ioapicId, APIC_VERSION, ENABLED, ...u32(IOAPIC_ADDRESS)],
    ...interrupts(ioapicId),
    // LINT0 and LINT1 of all processors.
    [LOCAL_INTERRUPT, TYPE_EXTINT, ...u16(CONFORMS), ISA_BUS, 0, 0xff, 0],
    [LOCAL_INTERRUPT, TYPE_NMI, ...u16(CONFORMS), ISA_BUS, 0, 0xff, 1],
  ];
  const body = entries.flat();
  const table = [
    ...ascii('PCMP', 4),
    ...u16(44 + body.length),
    SPEC_1_4,
    0,
    ...ascii('CROSVM', 8, 0x20),
    ...ascii('000000000000', 12),
    ...zeros(6), // no OEM table
    ...u16(entries.length),
    ...u32(LAPIC_ADDRESS),
    ...zeros(4), // no extended entries
    ...body,
  ];
  table[7] = checksum(table);
  return table;
}

function processor(id: number, isBootstrap: boolean): Bytes {
  const flags = isBootstrap ? ENABLED | BOOTSTRAP : ENABLED;
  return [PROCESSOR, id, APIC_VERSION, flags, ...u32(CPU_STEPPING), ...u32(CPU_FEATURES), ...zeros(8)];
}

/** ISA interrupt n is pin n; the SCI is level-triggered; PCI's wires are as \_SB.PCI0._PRT has them. */
function interrupts(ioapicId: number): Bytes[] {
  const entry = (flags: number, bus: number, source: number, pin: number): Bytes => [
    IO_INTERRUPT,
    TYPE_INT,
    ...u16(flags),
    bus,
    source,
    ioapicId,
    pin,
  ];
  const entries: Bytes[] = [];
  for (let irq = 0; irq < ISA_IRQS; irq++) {
    if (!PCI_INTX_IRQS.includes(irq)) entries.push(entry(irq === SCI_IRQ ? LEVEL_HIGH : CONFORMS, ISA_BUS, irq, irq));
  }
  for (let device = 0; device < PCI_DEVICES; device++) {
    for (let pin = 0; pin < PCI_PINS; pin++) {
      entries.push(entry(LEVEL_LOW, PCI_BUS, (device << 2) | pin, pciIntxIrq(device, pin)));
    }
  }
  return entries;
}
