import { SERIAL_PORTS } from '../arch/x86_64/platform.ts';
import { IoapicState } from '../irqchip/ioapic.ts';
import { PicState } from '../irqchip/pic.ts';
import { PitState } from '../irqchip/pit.ts';
import { ConfigState } from '../pci/config-space.ts';
import { PciRootState } from '../pci/pci-root.ts';
import { AcpiPmState } from './acpi-pm.ts';
import { CmosState } from './cmos.ts';
import { I8042State } from './i8042.ts';
import { SystemControlAState } from './reset-ports.ts';
import { SerialState } from './serial.ts';
import { WiredOrState } from './wired-or.ts';

/** What the platform has one of, in the order in which it lies in memory. */
const SINGLES = {
  wires: WiredOrState,
  cmos: CmosState,
  i8042: I8042State,
  systemControlA: SystemControlAState,
  acpiPm: AcpiPmState,
  pciRoot: PciRootState,
  hostBridge: ConfigState,
  pvpanic: ConfigState,
  pic: PicState,
  pit: PitState,
  ioapic: IoapicState,
} as const;

type Singles = { readonly [K in keyof typeof SINGLES]: InstanceType<(typeof SINGLES)[K]> };

export interface PlatformStates extends Singles {
  /** COM1 to COM4. */
  readonly serials: readonly InstanceType<typeof SerialState>[];
}

/** Bytes of the buffer that holds the state of all platform devices. */
export function platformByteLength(): number {
  const singles = Object.values(SINGLES).reduce((sum, struct) => sum + struct.byteLength, 0);
  return singles + SERIAL_PORTS.length * SerialState.byteLength;
}

/** Views of every device's state in `buffer`, which is zero before the first use. The same on every thread. */
export function platformStates(buffer: SharedArrayBuffer): PlatformStates {
  if (buffer.byteLength < platformByteLength()) throw new RangeError('the buffer for the platform is too small');
  let offset = 0;
  const next = <T>(struct: { readonly byteLength: number; new (b: SharedArrayBuffer, at: number): T }): T => {
    const state = new struct(buffer, offset);
    offset += struct.byteLength;
    return state;
  };
  const singles = Object.fromEntries(Object.entries(SINGLES).map(([name, struct]) => [name, next<unknown>(struct)]));
  return {
    ...(singles as unknown as Singles),
    serials: SERIAL_PORTS.map(() => next(SerialState)),
  };
}
