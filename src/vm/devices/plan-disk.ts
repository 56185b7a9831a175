import type { DiskOption } from '../../cli/options/disk.ts';
import type { DiskRequest, OverlaySpec } from '../../device-process/device-spec.ts';
import { trustOf } from '../../disk/image-trust.ts';

/** The device for a disk that the user has described. */
export function diskRequest(option: DiskOption): DiskRequest {
  const { path, ro, sparse = true, id = '', direct, format, allow = [], overlay, lock = true, queues } = option;
  return {
    path,
    format,
    trust: trustOf(allow),
    overlay: overlay === undefined ? undefined : overlaySpec(overlay),
    writable: !ro,
    sparse,
    blockSize: option['block-size'],
    id,
    queues,
    direct,
    executor: option['async-executor'],
    lock,
  };
}

/** `temp` is no path; a file of that name is `./temp`. */
function overlaySpec(overlay: string): OverlaySpec {
  return overlay === 'temp' ? { kind: 'temporary' } : { kind: 'file', path: overlay };
}
