import { dirname, resolve } from 'node:path';
import { unixVsockHost } from '../base/unix-vsock-host.ts';
import { VsockDevice } from '../virtio/vsock/vsock-device.ts';
import type { VsockSpec } from './device-spec.ts';
import type { PreparedDevice } from './made-device.ts';

export function prepareVsock({ cid, path }: VsockSpec): PreparedDevice {
  const absolute = resolve(path);
  // Where services of the host listen is looked up when the guest asks for one.
  const made = { device: new VsockDevice(cid, unixVsockHost(absolute)) };
  return { folders: [dirname(absolute)], finish: () => made };
}
