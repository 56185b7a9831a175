import { ENOSYS } from '../host-folder/errno.ts';

/** Where a guest has pieces of files as memory (DAX). Offsets and lengths are in bytes, whole pages; results 0 or a negative errno. */
export interface FileWindow {
  /** In bytes; 0: there is none. */
  readonly size: number;
  /** `fd` is a descriptor of the host. What was mapped at just this place before is replaced. */
  map(fd: number, fdOffset: number, offset: number, length: number, writable: boolean): number;
  unmap(offset: number, length: number): number;
}

export const NO_WINDOW: FileWindow = { size: 0, map: () => -ENOSYS, unmap: () => -ENOSYS };
