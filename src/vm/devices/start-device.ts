import { mayPing } from '../../base/ping-permission.ts';
import { CrosvmError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { KernelDevice } from './kernel-device.ts';
import type { VhostVsockSource } from './kernel-source.ts';
import type { DeviceLauncher } from './launcher.ts';
import type { DevicePlan } from './plan.ts';
import { type ManagedDevice, namedError, VmDevice } from './vm-device.ts';

/** Starts what provides a device, or connects to it. Throws `E_DEVICE`, which names the device. */
export async function startDevice(plan: DevicePlan, launcher: DeviceLauncher, log: Log): Promise<ManagedDevice> {
  const { source } = plan;
  if (source.kind === 'user-network' && !mayPing()) {
    // Most hosts do, and most guests do not mind.
    log(
      'debug',
      `${plan.name}: the guest's pings get no answer, as the host forbids them (sysctl net.ipv4.ping_group_range)`,
    );
  }
  if (source.kind === 'vhost-vsock') return await startVsock(plan, source, launcher, log);
  if (source.kind !== 'vhost-net') return await VmDevice.start({ ...plan, source }, launcher, log);
  try {
    return new KernelDevice(plan, source);
  } catch (error) {
    throw namedError(plan, error as Error);
  }
}

/** In the kernel where that is possible, else in a process of ours. */
async function startVsock(plan: DevicePlan, source: VhostVsockSource, launcher: DeviceLauncher, log: Log) {
  try {
    return new KernelDevice(plan, source);
  } catch (error) {
    const { otherwise, isNamed } = source;
    if (!(error instanceof CrosvmError)) throw error;
    if (otherwise === undefined) {
      const message = `${error.message}; for unix sockets instead give --vsock a path= (XDG_RUNTIME_DIR is not set)`;
      throw namedError(plan, new CrosvmError(error.code, message, { cause: error }));
    }
    const level = isNamed ? 'warn' : 'debug';
    log(level, `${plan.name}: ${error.message}; sockets of the host are unix sockets instead`);
    return await VmDevice.start({ ...plan, source: otherwise }, launcher, log);
  }
}
