import { dirname } from 'node:path';
import { unixVsockHost } from '../base/unix-vsock-host.ts';
import { VsockDevice } from '../virtio/vsock/vsock-device.ts';
import type { VsockSpec } from './device-spec.ts';
import type { PreparedDevice } from './made-device.ts';

export function prepareVsock({ cid, path, listener }: VsockSpec): PreparedDevice {
  const made = { device: new VsockDevice(cid, unixVsockHost(path, listener.fd)) };
  // Where services of the host listen is looked up when the guest asks for one.
  return { folders: [dirname(path)], finish: () => made };
}
