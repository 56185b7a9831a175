/** Descriptors of the VMM that a specification names, which a device process gets by other numbers. */
import type { DeviceSpec } from './device-spec.ts';

/** The descriptor, if there is one. */
export function inheritedFd(spec: DeviceSpec): number | undefined {
  return spec.type === 'net' && 'fd' in spec.wire ? spec.wire.fd : undefined;
}

/** The specification for a process in which that descriptor is `fd`. */
export function withInheritedFd(spec: DeviceSpec, fd: number): DeviceSpec {
  if (spec.type !== 'net' || !('fd' in spec.wire)) return spec;
  return { ...spec, wire: { ...spec.wire, fd } };
}
