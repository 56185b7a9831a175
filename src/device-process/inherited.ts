/** Descriptors of the VMM that a specification names, which a device process gets by other numbers. */
import type { DeviceSpec } from './device-spec.ts';

/** A copy of the specification in which each descriptor is what `replace` makes of it. */
function mapFds<S extends DeviceSpec>(spec: S, replace: (fd: number) => number): DeviceSpec {
  if (spec.type === 'net') {
    const { wire } = spec;
    if ('fds' in wire) return { ...spec, wire: { kind: wire.kind, fds: wire.fds.map(replace) } };
    return 'fd' in wire ? { ...spec, wire: { kind: wire.kind, fd: replace(wire.fd) } } : spec;
  }
  if (spec.type === 'block') {
    const { overlay, keepsake } = spec;
    return {
      ...spec,
      ...(overlay?.kind === 'temporary' &&
        overlay.fd !== undefined && {
          overlay: { kind: overlay.kind, fd: replace(overlay.fd) },
        }),
      ...(keepsake !== undefined && { keepsake: replace(keepsake) }),
    };
  }
  return spec;
}

/** The descriptors, in the order in which a process gets them. */
export function inheritedFds(spec: DeviceSpec): number[] {
  const fds: number[] = [];
  mapFds(spec, (fd) => fds.push(fd));
  return fds;
}

/** The specification for a process in which those descriptors are `fds`. */
export function withInheritedFds(spec: DeviceSpec, fds: readonly number[]): DeviceSpec {
  let next = 0;
  return mapFds(spec, () => fds[next++]!);
}
