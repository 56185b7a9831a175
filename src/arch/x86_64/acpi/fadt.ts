import { ascii, u16, u32, u64, zeros } from '../bytes.ts';
import {
  CMOS_CENTURY,
  CMOS_DAY_ALARM,
  CMOS_MONTH_ALARM,
  GPE0_LENGTH,
  GPE0_OFFSET,
  PCI_RESET_PORT,
  PCI_RESET_VALUE,
  PM_PORT,
  PM1_CONTROL_LENGTH,
  PM1_CONTROL_OFFSET,
  PM1_EVENT_LENGTH,
  PM1_STATUS_OFFSET,
  SCI_IRQ,
} from '../platform.ts';
import { table, updateChecksum } from './table.ts';

const REVISION = 6;
const MINOR_REVISION = 3;
/** Offsets of the pointers to other tables. */
const FIRMWARE_CTRL = 36;
const DSDT = 40;
const X_FIRMWARE_CTRL = 132;
const X_DSDT = 140;
/** With the 64-bit pointers the table has at least this length. */
const LENGTH_WITH_X_DSDT = 148;
const LENGTH_WITHOUT_X = 116;

/** Latencies above 100 and 1000 microseconds say that there is no C2 and no C3. */
const NO_C2 = 101;
const NO_C3 = 1001;
/** IAPC_BOOT_ARCH: no VGA. That the 8042 bit is clear keeps the guest from looking for a keyboard. */
const BOOT_ARCH_NO_VGA = 1 << 2;
const FLAG_WBINVD = 1 << 0;
const FLAG_PROC_C1 = 1 << 2;
/** No sleep button in the fixed registers; the power button is there (its bit is clear). */
const FLAG_SLP_BUTTON = 1 << 5;
const FLAG_RESET_REG_SUP = 1 << 10;
const SPACE_IO = 1;
const ACCESS_BYTE = 1;
const GAS_LENGTH = 12;

/** The fixed ACPI description table (5.2.9): 276 bytes, always in ACPI mode (no SMI command), no PM timer. */
export function fadt(pointers: { readonly facs: number; readonly dsdt: number }): Uint8Array {
  return table('FACP', REVISION, [
    ...u32(pointers.facs),
    ...u32(pointers.dsdt),
    0,
    0, // preferred profile: unspecified
    ...u16(SCI_IRQ),
    ...u32(0), // SMI_CMD
    ...zeros(4),
    ...u32(PM_PORT + PM1_STATUS_OFFSET),
    ...u32(0),
    ...u32(PM_PORT + PM1_CONTROL_OFFSET),
    ...u32(0),
    ...u32(0), // PM2_CNT_BLK
    ...u32(0), // PM_TMR_BLK
    ...u32(PM_PORT + GPE0_OFFSET),
    ...u32(0), // GPE1_BLK
    PM1_EVENT_LENGTH,
    PM1_CONTROL_LENGTH,
    0,
    0,
    GPE0_LENGTH,
    0,
    0,
    0,
    ...u16(NO_C2),
    ...u16(NO_C3),
    ...zeros(6), // cache flushing and duty cycle
    CMOS_DAY_ALARM,
    CMOS_MONTH_ALARM,
    CMOS_CENTURY,
    ...u16(BOOT_ARCH_NO_VGA),
    0,
    ...u32(FLAG_WBINVD | FLAG_PROC_C1 | FLAG_SLP_BUTTON | FLAG_RESET_REG_SUP),
    SPACE_IO,
    8,
    0,
    ACCESS_BYTE,
    ...u64(PCI_RESET_PORT),
    PCI_RESET_VALUE,
    ...u16(0), // ARM_BOOT_ARCH
    MINOR_REVISION,
    ...u64(0), // X_FIRMWARE_CTRL: only one of the two pointers may be set
    ...u64(pointers.dsdt),
    // The extended blocks stay empty: then the 32-bit ones above hold.
    ...zeros(8 * GAS_LENGTH),
    ...zeros(2 * GAS_LENGTH), // sleep control and status, for reduced hardware
    ...ascii('CROSVM', 8),
  ]);
}

/** Whether a user's FADT is long enough to have its pointers set. */
export function isUsableFadt(bytes: Uint8Array): boolean {
  return bytes.length >= LENGTH_WITHOUT_X;
}

/** A user's FADT with the pointers to where FACS and DSDT are in this guest. */
export function withPointers(user: Uint8Array, pointers: { readonly facs: number; readonly dsdt: number }): Uint8Array {
  const bytes = user.slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(FIRMWARE_CTRL, pointers.facs, true);
  view.setUint32(DSDT, pointers.dsdt, true);
  if (bytes.length >= LENGTH_WITH_X_DSDT) {
    view.setBigUint64(X_FIRMWARE_CTRL, 0n, true);
    view.setBigUint64(X_DSDT, BigInt(pointers.dsdt), true);
  }
  updateChecksum(bytes);
  return bytes;
}
