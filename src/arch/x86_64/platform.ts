/**
 * Where the fixed devices of the PC platform are: I/O ports, interrupt lines and MMIO windows. The device models, the
 * machine that wires them up and the firmware tables that describe them to the guest all read this file, so that they
 * cannot disagree.
 */

/** A serial port (16550A): eight I/O ports and an edge-triggered ISA interrupt. */
export interface SerialPort {
  readonly port: number;
  readonly irq: number;
}

/** COM1 to COM4 in this order. */
export const SERIAL_PORTS: readonly SerialPort[] = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
];
export const SERIAL_LENGTH = 8;

/** 8259A pair: two ports each (command, data), and the two edge/level control registers of the chip set. */
export const PIC_MASTER_PORT = 0x20;
export const PIC_SLAVE_PORT = 0xa0;
export const PIC_ELCR_PORT = 0x4d0;

/** 8254: counters 0-2 and the mode register. Counter 2's gate and output, and the refresh bit, are on port 0x61. */
export const PIT_PORT = 0x40;
export const PIT_LENGTH = 4;
export const PIT_IRQ = 0;
export const SYSTEM_CONTROL_PORT_B = 0x61;

/** Keyboard controller: only there to take the reset command (0xfe on the command port). */
export const I8042_DATA_PORT = 0x60;
export const I8042_COMMAND_PORT = 0x64;

/** MC146818 with 128 bytes: index port, data port at + 1. */
export const CMOS_PORT = 0x70;
export const CMOS_LENGTH = 2;
export const RTC_IRQ = 8;

/** Index in CMOS of the century, as the FADT tells the guest. */
export const CMOS_CENTURY = 0x32;
/** Indices in CMOS of the alarm's day of the month and month, as the FADT tells the guest. */
export const CMOS_DAY_ALARM = 0x0d;
export const CMOS_MONTH_ALARM = 0x33;

/** Ports that software writes for a short delay or to acknowledge an FPU error: they swallow everything. */
export const NULL_PORTS: readonly { readonly port: number; readonly length: number }[] = [
  { port: 0x80, length: 1 },
  { port: 0xed, length: 1 },
  { port: 0xf0, length: 2 },
];

/** The firmware's debug console: writes are text, reads give DEBUGCON_READBACK so that firmware knows that it is there. */
export const DEBUGCON_PORT = 0x402;
export const DEBUGCON_READBACK = 0xe9;

/** PCI configuration mechanism 1: address at + 0, data at + 4. */
export const PCI_CONFIG_PORT = 0xcf8;
export const PCI_CONFIG_LENGTH = 8;
/** Reset control register, within the bytes of the PCI configuration address: writing PCI_RESET_VALUE resets. */
export const PCI_RESET_PORT = 0xcf9;
export const PCI_RESET_VALUE = 6;

/** I/O ports for devices without a fixed place; the PM block is the first of them. */
export const DYNAMIC_PORTS_START = 0xc000;
export const DYNAMIC_PORTS_END = 0x1_0000;

/** ACPI power management registers (ACPI 6.3, 4.8): the offsets of the blocks count from PM_PORT. */
export const PM_PORT = DYNAMIC_PORTS_START;
export const PM_LENGTH = 72;
export const PM1_STATUS_OFFSET = 0;
export const PM1_ENABLE_OFFSET = 2;
export const PM1_EVENT_LENGTH = 4;
export const PM1_CONTROL_OFFSET = 4;
export const PM1_CONTROL_LENGTH = 2;
/** GPE0: the first half of the block is status, the second enable; 256 events in all. */
export const GPE0_OFFSET = 8;
export const GPE0_LENGTH = 64;
/** The ACPI interrupt: level-triggered, active high. */
export const SCI_IRQ = 5;
/** SLP_TYP values that the DSDT's \_S1 and \_S5 give; the guest writes them to PM1_CNT bits 10-12. */
export const SLEEP_TYPE_S1 = 1;
export const SLEEP_TYPE_S5 = 0;

/**
 * ISA interrupts that PCI INTx wires share: level-triggered. `setLine` takes the logical level (true is asserted); the
 * active-low polarity that the tables give is the guest's view of the pin only.
 */
export const PCI_INTX_IRQS: readonly number[] = [9, 10, 11, 12];

/** The interrupt that pin `pin` (0 for INTA#) of device `device` on bus 0 is wired to; \_SB.PCI0._PRT says the same. */
export function pciIntxIrq(device: number, pin: number): number {
  return PCI_INTX_IRQS[(device + pin) % PCI_INTX_IRQS.length]!;
}

/** IOAPIC: 24 pins; GSI n is pin n. */
export const IOAPIC_ADDRESS = 0xfec0_0000;
export const IOAPIC_LENGTH = 0x100;
export const IOAPIC_PINS = 24;
/** GSIs from here on are for MSIs. */
export const FIRST_MSI_GSI = IOAPIC_PINS;

export const LAPIC_ADDRESS = 0xfee0_0000;
export const LAPIC_LENGTH = 0x1000;

/** PCI Express configuration space (ECAM, MMCONFIG): 1 MiB for each bus. */
export const ECAM_ADDRESS = 0xf400_0000;
export const ECAM_BUSES = 64;
export const ECAM_LENGTH = ECAM_BUSES * 0x10_0000;

/** 32-bit BARs. */
export const LOW_MMIO_START = 0xd000_0000;
export const LOW_MMIO_END = ECAM_ADDRESS;
