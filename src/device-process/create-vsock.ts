import { dirname, resolve } from 'node:path';
import { unixVsockHost } from '../base/unix-vsock-host.ts';
import { VsockDevice } from '../virtio/vsock/vsock-device.ts';
import type { VsockSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createVsock({ cid, path }: VsockSpec): MadeDevice {
  const absolute = resolve(path);
  // Where services of the host listen is looked up when the guest asks for one.
  return { device: new VsockDevice(cid, unixVsockHost(absolute)), folders: [dirname(absolute)] };
}
