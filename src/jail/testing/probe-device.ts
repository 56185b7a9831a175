/**
 * Entropy devices that first make the system call in their specification: what a device that has been taken over might do.
 */
import { systemCall } from '../../base/system-call.ts';
import { type DeviceMaker, loadDeviceMaker } from '../../device-process/create-device.ts';
import type { DeviceSpec } from '../../device-process/device-spec.ts';
import type { DeviceHost } from '../../virtio/device.ts';

/** A specification with a system call: its number and arguments. */
export type ProbeSpec = DeviceSpec & { readonly probe?: readonly number[] };

const makeRng = await loadDeviceMaker('rng');

export const makeProbe: DeviceMaker = (spec) => {
  const { probe } = spec as ProbeSpec;
  const made = makeRng({ type: 'rng' }).finish();
  const attach = made.device.attach.bind(made.device);
  // The first thing that is done with a device in its jail.
  made.device.attach = (host: DeviceHost) => {
    if (probe !== undefined) {
      const [number = 0, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = probe;
      systemCall(number, a, b, c, d, e, f);
    }
    attach(host);
  };
  return { finish: () => made };
};
