import type { PacketConnection } from '../../base/unix-socket.ts';
import type { DeviceSpec } from '../../device-process/device-spec.ts';

/** A device of ours that was started. */
export interface LaunchedDevice {
  /** Where it takes orders (device-orders.ts); the caller's to close. */
  readonly orders: PacketConnection;
  /** Settles when the device is gone, with how that was: `exit status 1`, `killed by SIGKILL`. Never rejects. */
  readonly gone: Promise<string>;
  /** What it said last; it usually says why it ends. */
  readonly lastWords: () => string | undefined;
  /** Ends it without asking it. */
  kill(): void;
}

/** A way to run our devices apart from the VMM. */
export interface DeviceLauncher {
  /** Devices make themselves ready in a jail. */
  readonly inJail: boolean;
  /**
   * Starts a device; it is not waited for. `name` is what messages call it, and `say` gets whole lines that it says, with
   * their level. `frontEnd` is a descriptor of the connection with its front end, at whose end it ends. All descriptors stay
   * the caller's.
   */
  launch(name: string, spec: DeviceSpec, frontEnd: number, say: (line: string) => void): LaunchedDevice;
}
