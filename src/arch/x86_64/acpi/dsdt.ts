import type { Bytes } from '../bytes.ts';
import type { AddressRange } from '../memory-map.ts';
import {
  CMOS_LENGTH,
  CMOS_PORT,
  ECAM_ADDRESS,
  ECAM_BUSES,
  ECAM_LENGTH,
  LOW_MMIO_END,
  LOW_MMIO_START,
  PCI_CONFIG_LENGTH,
  PCI_CONFIG_PORT,
  PM_LENGTH,
  PM_PORT,
  pciIntxIrq,
  RTC_IRQ,
  SERIAL_LENGTH,
  SERIAL_PORTS,
  SLEEP_TYPE_S1,
  SLEEP_TYPE_S5,
} from '../platform.ts';
import * as aml from './aml.ts';
import * as crs from './resources.ts';

const PCI_DEVICES = 32;
const PCI_PINS = 4;

/** _OSC (PCI Firmware Specification 3.2, 4.5): the DWORDs of the capabilities buffer, and their bits. */
const OSC_UUID = '33DB4D5B-1FF7-401C-9657-7441C03DD766';
const OSC_UNRECOGNIZED_UUID = 4;
const OSC_UNRECOGNIZED_REVISION = 8;
const OSC_MASKED = 0x10;
/** What the guest may control itself: native hotplug (bit 0) and the PCI Express capability (bit 4). */
const OSC_GRANTED = 0x11;

/**
 * The definition block of the DSDT: sleep states S1 and S5, the PCI host bridge with its windows and interrupt wires, the ranges of the
 * platform that no device claims, the clock and `serialPorts` (1-4 for COM1-COM4).
 *
 * There is no keyboard controller: ours only resets, and Linux would wait for a keyboard.
 */
export function dsdtBody(config: { readonly highMmio: AddressRange; readonly serialPorts: readonly number[] }): Bytes {
  return [
    sleepState('\\_S1_', SLEEP_TYPE_S1),
    sleepState('\\_S5_', SLEEP_TYPE_S5),
    aml.scope('\\_SB_', [
      pciHostBridge(config.highMmio),
      motherboard(),
      realTimeClock(),
      ...config.serialPorts.map((number) => serialPort(number)),
    ]),
  ].flat();
}

/** What the guest writes to SLP_TYP of PM1a and PM1b control, and two reserved elements. */
function sleepState(at: string, type: number): Bytes {
  return aml.name(at, aml.pack([type, type, 0, 0].map((n) => aml.integer(n))));
}

function pciHostBridge(highMmio: AddressRange): Bytes {
  const configEnd = PCI_CONFIG_PORT + PCI_CONFIG_LENGTH;
  const windows = [
    crs.busRange(0, ECAM_BUSES),
    crs.ioPorts(PCI_CONFIG_PORT, PCI_CONFIG_LENGTH),
    crs.ioWindow(0, PCI_CONFIG_PORT),
    crs.ioWindow(configEnd, 0x1_0000 - configEnd),
    crs.memoryWindow32(LOW_MMIO_START, LOW_MMIO_END - LOW_MMIO_START),
  ];
  if (highMmio.size > 0) windows.push(crs.memoryWindow64(highMmio.gpa, highMmio.size));
  return aml.device('PCI0', [
    aml.name('_HID', aml.eisaId('PNP0A08')),
    aml.name('_CID', aml.eisaId('PNP0A03')),
    aml.name('_SEG', aml.integer(0)),
    aml.name('_BBN', aml.integer(0)),
    aml.name('_UID', aml.integer(0)),
    // DMA by the devices is coherent, whatever the guest assumes.
    aml.name('_CCA', aml.integer(1)),
    aml.name('_CRS', crs.resources(windows)),
    aml.name('_PRT', interruptWires()),
    operatingSystemCapabilities(),
  ]);
}

/** Each pin of each device is wired to a fixed interrupt: { device << 16 | any function, pin, no link, GSI }. */
function interruptWires(): Bytes {
  const wires: Bytes[] = [];
  for (let device = 0; device < PCI_DEVICES; device++) {
    for (let pin = 0; pin < PCI_PINS; pin++) {
      const address = device * 0x1_0000 + 0xffff;
      const wire = [address, pin, 0, pciIntxIrq(device, pin)];
      wires.push(aml.pack(wire.map((n) => aml.integer(n))));
    }
  }
  return aml.pack(wires);
}

function operatingSystemCapabilities(): Bytes {
  const status = aml.path('CDW1');
  const control = aml.path('CDW3');
  const fail = (bit: number) => aml.or(status, aml.integer(bit), status);
  return aml.method('_OSC', 4, [
    aml.createDwordField(aml.arg(3), 0, 'CDW1'),
    aml.ifThen(aml.equal(aml.arg(0), aml.uuid(OSC_UUID)), [
      aml.createDwordField(aml.arg(3), 8, 'CDW3'),
      aml.store(control, aml.local(0)),
      aml.and(control, aml.integer(OSC_GRANTED), control),
      aml.ifThen(aml.not(aml.equal(aml.arg(1), aml.integer(1))), [fail(OSC_UNRECOGNIZED_REVISION)]),
      aml.ifThen(aml.not(aml.equal(control, aml.local(0))), [fail(OSC_MASKED)]),
    ]),
    aml.otherwise([fail(OSC_UNRECOGNIZED_UUID)]),
    aml.returns(aml.arg(3)),
  ]);
}

/** Linux uses ECAM only if a motherboard device reserves it. */
function motherboard(): Bytes {
  return aml.device('MB00', [
    aml.name('_HID', aml.eisaId('PNP0C02')),
    aml.name('_UID', aml.integer(0)),
    aml.name('_CRS', crs.resources([crs.fixedMemory(ECAM_ADDRESS, ECAM_LENGTH), crs.ioPorts(PM_PORT, PM_LENGTH)])),
  ]);
}

function realTimeClock(): Bytes {
  return aml.device('RTC0', [
    aml.name('_HID', aml.eisaId('PNP0B00')),
    aml.name('_CRS', crs.resources([crs.ioPorts(CMOS_PORT, CMOS_LENGTH), crs.isaIrq(RTC_IRQ)])),
  ]);
}

function serialPort(number: number): Bytes {
  const { port, irq } = SERIAL_PORTS[number - 1]!;
  return aml.device(`COM${number}`, [
    aml.name('_HID', aml.eisaId('PNP0501')),
    aml.name('_UID', aml.integer(number)),
    aml.name('_DDN', aml.string(`COM${number}`)),
    aml.name('_CRS', crs.resources([crs.ioPorts(port, SERIAL_LENGTH), crs.isaIrq(irq)])),
  ]);
}
