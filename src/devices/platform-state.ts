import { SERIAL_PORTS } from '../arch/x86_64/platform.ts';
import { IoapicState } from '../irqchip/ioapic.ts';
import { PicState } from '../irqchip/pic.ts';
import { PitState } from '../irqchip/pit.ts';
import { ConfigState } from '../pci/config-space.ts';
import { MsixState } from '../pci/msix.ts';
import { PciRootState } from '../pci/pci-root.ts';
import { IsrState } from '../pci/virtio-pci/virtio-interrupts.ts';
import type { VirtioPciStates } from '../pci/virtio-pci/virtio-pci.ts';
import { VirtioPciState } from '../pci/virtio-pci/virtio-pci-state.ts';
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

/** A struct in shared memory, as far as it matters here. */
type Struct<T = unknown> = { readonly byteLength: number; new (buffer: SharedArrayBuffer, at: number): T };

type Singles = { readonly [K in keyof typeof SINGLES]: InstanceType<(typeof SINGLES)[K]> };

export interface PlatformStates extends Singles {
  /** COM1 to COM4. */
  readonly serials: readonly InstanceType<typeof SerialState>[];
  readonly virtio: readonly VirtioPciStates[];
}

/** What each virtio device has. */
const VIRTIO = { pci: ConfigState, msix: MsixState, isr: IsrState, virtio: VirtioPciState } as const;

/** Bytes of the buffer that holds the state of all platform devices, with `virtioDevices` on the PCI bus. */
export function platformByteLength(virtioDevices = 0): number {
  const size = (structs: Readonly<Record<string, { readonly byteLength: number }>>) =>
    Object.values(structs).reduce((sum, struct) => sum + struct.byteLength, 0);
  return size(SINGLES) + SERIAL_PORTS.length * SerialState.byteLength + virtioDevices * size(VIRTIO);
}

/** Views of every device's state in `buffer`, which is zero before the first use. The same on every thread. */
export function platformStates(buffer: SharedArrayBuffer, virtioDevices = 0): PlatformStates {
  if (buffer.byteLength < platformByteLength(virtioDevices)) {
    throw new RangeError('the buffer for the platform is too small');
  }
  let offset = 0;
  const next = <T>(struct: Struct<T>): T => {
    const state = new struct(buffer, offset);
    offset += struct.byteLength;
    return state;
  };
  const all = <S extends Readonly<Record<string, object>>>(structs: Readonly<Record<string, Struct>>) =>
    Object.fromEntries(Object.entries(structs).map(([name, struct]) => [name, next<unknown>(struct)])) as unknown as S;
  return {
    ...all<Singles>(SINGLES),
    serials: SERIAL_PORTS.map(() => next(SerialState)),
    virtio: Array.from({ length: virtioDevices }, () => all<VirtioPciStates & Record<string, object>>(VIRTIO)),
  };
}
