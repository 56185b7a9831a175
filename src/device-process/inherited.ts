/** Descriptors of the VMM that a specification names, which a device process gets by other numbers: its fields `fd`. */
import type { DeviceSpec } from './device-spec.ts';

/** In the order in which they are in the specification. */
export function inheritedFds(spec: DeviceSpec): number[] {
  const fds: number[] = [];
  mapFds(spec, (fd) => {
    fds.push(fd);
    return fd;
  });
  return fds;
}

/** The specification for a process in which those descriptors are `fds`. */
export function withInheritedFds(spec: DeviceSpec, fds: readonly number[]): DeviceSpec {
  let next = 0;
  return mapFds(spec, () => fds[next++]!);
}

function mapFds(spec: DeviceSpec, map: (fd: number) => number): DeviceSpec {
  // It travels as JSON anyway.
  return JSON.parse(JSON.stringify(spec, (key, value) => (key === 'fd' ? map(value as number) : value)));
}
