import type { PacketConnection } from '../../base/unix-socket.ts';
import type { StreamConnection } from '../../base/unix-stream.ts';
import type { DeviceSpec } from '../../device-process/device-spec.ts';

/** A device of ours that was started. */
export interface LaunchedDevice {
  /** The front end's end of its vhost-user connection, which is the launcher's caller's to close. The device then ends. */
  readonly connection: StreamConnection;
  /** Where it takes orders (device-orders.ts); also the caller's to close. */
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
   * their level. Descriptors in `spec` stay the caller's.
   */
  launch(name: string, spec: DeviceSpec, say: (line: string) => void): LaunchedDevice;
}
