import { type KernelFile, openKernelFile } from '../base/kernel-file.ts';
import type { KernelSource } from '../loader/kernel-source.ts';
import type { VmConfig } from './config.ts';

/** The files that a guest is made of, open. */
export interface GuestFiles {
  readonly kernel: KernelFile | undefined;
  readonly initrd: KernelSource | undefined;
  readonly bios: KernelFile | undefined;
  readonly acpiTables: readonly KernelFile[];
}

/** Opens them all; `resources` closes them. Throws `E_FILE_OPEN`. */
export function openGuestFiles(config: VmConfig, resources: DisposableStack): GuestFiles {
  const open = (path: string) => resources.use(openKernelFile(path));
  const maybe = (path: string | undefined) => (path === undefined ? undefined : open(path));
  return {
    kernel: maybe(config.kernel),
    initrd: maybe(config.initrd),
    bios: maybe(config.bios),
    acpiTables: config.acpiTable.map(open),
  };
}
