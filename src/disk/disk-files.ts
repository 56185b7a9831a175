import type { ByteStore } from './byte-store.ts';

/** How a file is opened. */
export interface FileAccess {
  readonly writable: boolean;
  /** Keeps others from writing it, and from reading it where `writable`. */
  readonly lock: boolean;
  /** Past the host's page cache. */
  readonly direct: boolean;
  /** Only a regular file will do: the name comes from an image. Otherwise it may be a block device. */
  readonly regular: boolean;
}

export interface OpenedFile {
  readonly store: ByteStore;
  /** Where the file really is, with all symbolic links followed. */
  readonly path: string;
  /** The same for the same file, by whatever name. */
  readonly identity: string;
}

/** The files that images lie in and refer to. The edge (`src/base/host-disk-files.ts`) brings those of the host. */
export interface DiskFiles {
  /** Throws `E_FILE_OPEN`, `E_DISK_LOCKED`. */
  open(path: string, access: FileAccess): OpenedFile;
  /** The path of the file that an image at `image` (a real path) calls `name`. */
  resolve(image: string, name: string): string;
  /** Whether a file lies in the folder of an image or below it; both are real paths. */
  isBeside(image: string, path: string): boolean;
}
