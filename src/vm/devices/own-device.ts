/** A device of ours as the VMM keeps it: what each start of it is given, and what outlives its process. */
import type { DeviceOrder } from '../../device-process/device-orders.ts';
import type { DeviceSpec } from '../../device-process/device-spec.ts';
import type { InputPort } from '../input-pump.ts';

/** What a device is told to be. Descriptors in it stay open until it is disposed of. */
export interface GivenSpec extends Disposable {
  readonly spec: DeviceSpec;
}

export interface OwnDevice {
  /** What the device is to be, this time; `inJail`, where it can open nothing itself. Throws `E_PASST`. */
  give(inJail: boolean): Promise<GivenSpec>;
  /** Its process has come up, and needs no help with that any more. */
  isUp?(): void;
  /** There is a process for it, another one than before, which takes orders. */
  attend?(order: (order: DeviceOrder) => void): void;
  /** Where a console takes input, if anything is to be connected to it. */
  readonly input?: InputPort | undefined;
  close(): void;
}

/** Descriptors that are open for longer. */
export function keeping(spec: DeviceSpec): GivenSpec {
  return { spec, [Symbol.dispose]() {} };
}
