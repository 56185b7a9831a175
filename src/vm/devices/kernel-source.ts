/** Devices that the host's kernel provides, as the user has described them. */
import type { TapSource, VsockSource } from './own-source.ts';

export interface VhostNetSource extends Omit<TapSource, 'kind'> {
  readonly kind: 'vhost-net';
  /** The path of the kernel's device. */
  readonly device: string;
}

export interface VhostVsockSource {
  readonly kind: 'vhost-vsock';
  /** The guest's address, 3 or more. */
  readonly cid: number;
  /** The kernel's device: a path, or an open descriptor. */
  readonly device: string | number;
  /** The user has named the device. */
  readonly isNamed: boolean;
  /** What the guest gets where there is no such device; undefined if there is no place for its sockets. */
  readonly otherwise: VsockSource | undefined;
}

export type KernelSource = VhostNetSource | VhostVsockSource;
