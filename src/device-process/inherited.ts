/** Descriptors of the VMM that a specification names, which a device process gets by other numbers. */
import type { DeviceSpec } from './device-spec.ts';

/** The descriptor, if there is one. */
export function inheritedFd(spec: DeviceSpec): number | undefined {
  if (spec.type === 'pmem') return spec.fd;
  if (spec.type === 'net' && 'fd' in spec.wire) return spec.wire.fd;
  if (spec.type === 'block' && spec.overlay?.kind === 'temporary') return spec.overlay.fd;
  return undefined;
}

/** The specification for a process in which that descriptor is `fd`. */
export function withInheritedFd(spec: DeviceSpec, fd: number): DeviceSpec {
  if (inheritedFd(spec) === undefined) return spec;
  if (spec.type === 'pmem') return { ...spec, fd };
  if (spec.type === 'net') return { ...spec, wire: { kind: spec.wire.kind, fd } };
  if (spec.type === 'block') return { ...spec, overlay: { kind: 'temporary', fd } };
  return spec;
}
