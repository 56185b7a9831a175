import { type KernelParameter, lastValue } from './kernel-parameters.ts';

/** A folder that is shared with the guest. */
export interface Share {
  readonly path: string;
  readonly tag: string;
  /** How it is shared: by 9P unless it says. */
  readonly type?: 'p9' | 'fs' | undefined;
}

/** The share that a kernel's command line calls the root file system. */
export interface RootShare {
  /** The folder of the host. */
  readonly folder: string;
  readonly tag: string;
  /** As Linux calls it. */
  readonly fileSystem: string;
  /** Names of the modules that it takes to mount it. */
  readonly drivers: readonly string[];
}

const KINDS = {
  fs: { fileSystem: 'virtiofs', drivers: ['virtio_pci', 'virtiofs'] },
  p9: { fileSystem: '9p', drivers: ['virtio_pci', '9pnet_virtio', '9p'] },
} as const;

/** The share whose tag is `root=`, unless `rootfstype=` says that it is something else. */
export function findRootShare(parameters: readonly KernelParameter[], shares: readonly Share[]): RootShare | undefined {
  const root = lastValue(parameters, 'root');
  const share = shares.find(({ tag }) => tag === root);
  if (share === undefined) return undefined;
  const kind = KINDS[share.type ?? 'p9'];
  const types = lastValue(parameters, 'rootfstype')?.split(',');
  if (types !== undefined && !types.includes(kind.fileSystem)) return undefined;
  return { folder: share.path, tag: share.tag, ...kind };
}
