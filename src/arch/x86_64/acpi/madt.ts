import { type Bytes, u16, u32, zeros } from '../bytes.ts';
import { IOAPIC_ADDRESS, LAPIC_ADDRESS, PCI_INTX_IRQS, SCI_IRQ } from '../platform.ts';
import { table } from './table.ts';

const REVISION = 5;
const PCAT_COMPAT = 1;
const ENABLED = 1;
const LOCAL_APIC = 0;
const IO_APIC = 1;
const SOURCE_OVERRIDE = 2;
const LOCAL_APIC_NMI = 4;
const LOCAL_X2APIC = 9;
const LOCAL_X2APIC_NMI = 10;
/** APIC ids from 255 on do not fit the entry of a local APIC. */
const FIRST_X2APIC_ID = 255;
const ALL_PROCESSORS = 0xff;
const ALL_X2APIC_PROCESSORS = 0xffff_ffff;
const LINT1 = 1;
/** MPS INTI flags (5.2.12.5): polarity in bits 0-1, trigger mode in bits 2-3. */
const LEVEL_HIGH = 0xd;
const LEVEL_LOW = 0xf;

/** The multiple APIC description table (5.2.12) for the vCPUs with these APIC ids; their UIDs count from 0. */
export function madt(apicIds: readonly number[]): Uint8Array {
  const hasX2apic = apicIds.some((id) => id >= FIRST_X2APIC_ID);
  return table('APIC', REVISION, [
    ...u32(LAPIC_ADDRESS),
    ...u32(PCAT_COMPAT),
    ...apicIds.flatMap((id, uid) => processor(id, uid)),
    ...[IO_APIC, 12, 0, 0, ...u32(IOAPIC_ADDRESS), ...u32(0)],
    ...sourceOverride(SCI_IRQ, LEVEL_HIGH),
    ...PCI_INTX_IRQS.flatMap((irq) => sourceOverride(irq, LEVEL_LOW)),
    ...[LOCAL_APIC_NMI, 6, ALL_PROCESSORS, ...u16(0), LINT1],
    ...(hasX2apic ? [LOCAL_X2APIC_NMI, 12, ...u16(0), ...u32(ALL_X2APIC_PROCESSORS), LINT1, ...zeros(3)] : []),
  ]);
}

function processor(id: number, uid: number): Bytes {
  if (id < FIRST_X2APIC_ID && uid < FIRST_X2APIC_ID) return [LOCAL_APIC, 8, uid, id, ...u32(ENABLED)];
  return [LOCAL_X2APIC, 16, ...u16(0), ...u32(id), ...u32(ENABLED), ...u32(uid)];
}

/** ISA interrupt n stays GSI n, but is level-triggered. */
function sourceOverride(irq: number, flags: number): Bytes {
  return [SOURCE_OVERRIDE, 10, 0, irq, ...u32(irq), ...u16(flags)];
}
