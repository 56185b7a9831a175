/** The open descriptor that a device is given, which has another number where it runs. */
import type { DeviceSpec } from '../../device-process/device-spec.ts';

export function descriptorOf(spec: DeviceSpec): number | undefined {
  if (spec.type === 'net' && 'fd' in spec.wire) return spec.wire.fd;
  if (spec.type === 'block' && spec.overlay?.kind === 'temporary') return spec.overlay.fd;
  return undefined;
}

/** The same with descriptor `fd`. */
export function withDescriptor(spec: DeviceSpec, fd: number): DeviceSpec {
  if (spec.type === 'net' && 'fd' in spec.wire) return { ...spec, wire: { ...spec.wire, fd } };
  if (spec.type === 'block' && spec.overlay?.kind === 'temporary') return { ...spec, overlay: { ...spec.overlay, fd } };
  return spec;
}
