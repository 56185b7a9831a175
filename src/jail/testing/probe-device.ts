/**
 * Entropy devices that first make the system calls in their specification: what a device that has been taken over might do.
 */
import { errno } from '../../base/ffi.ts';
import { systemCall } from '../../base/system-call.ts';
import { type DeviceMaker, loadDeviceMaker } from '../../device-process/create-device.ts';
import type { DeviceSpec } from '../../device-process/device-spec.ts';
import { CrosvmError } from '../../errors.ts';
import type { DeviceHost } from '../../virtio/device.ts';

export type ProbeSpec = DeviceSpec & {
  /** A system call: its number and arguments. */
  readonly probe?: readonly number[];
  /** Numbers of system calls that have to fail with this error. */
  readonly refused?: { readonly errno: number; readonly calls: readonly number[] };
};

const makeRng = await loadDeviceMaker('rng');

export const makeProbe: DeviceMaker = (spec) => {
  const { probe, refused } = spec as ProbeSpec;
  const made = makeRng({ type: 'rng' }).finish();
  const attach = made.device.attach.bind(made.device);
  // The first thing that is done with a device in its jail.
  made.device.attach = (host: DeviceHost) => {
    if (probe !== undefined) {
      const [number = 0, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = probe;
      systemCall(number, a, b, c, d, e, f);
    }
    for (const number of refused?.calls ?? []) {
      const isRefused = systemCall(number, 0, 0, 0, 0, 0, 0) === -1 && errno() === refused!.errno;
      if (!isRefused) throw new CrosvmError('E_PROBE', `was not refused: ${number}`);
    }
    attach(host);
  };
  return { finish: () => made };
};
