import { unixVsockHost } from '../base/unix-vsock-host.ts';
import { VsockDevice } from '../virtio/vsock/vsock-device.ts';
import type { VsockSpec } from './device-spec.ts';

export function createVsock({ cid, path }: VsockSpec): VsockDevice {
  return new VsockDevice(cid, unixVsockHost(path));
}
