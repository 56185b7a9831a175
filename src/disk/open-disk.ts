import { CrosvmError } from '../errors.ts';
import { AndroidSparseDisk } from './android-sparse.ts';
import type { Codec } from './codec.ts';
import { openComposite } from './composite/open.ts';
import { type Disk, type DiskFormat, formatError, unsupported } from './disk.ts';
import type { DiskFiles, OpenedFile } from './disk-files.ts';
import { type ImageTrust, NO_TRUST } from './image-trust.ts';
import { probeFormat } from './probe.ts';
import { openQcow2 } from './qcow2/open.ts';
import { TableLog } from './qcow2/table-log.ts';
import { RawDisk } from './raw.ts';
import { ZstdDisk } from './zstd-seekable.ts';

export interface OpenDiskOptions {
  /** Told by the contents if it is not given. */
  readonly format?: DiskFormat | undefined;
  readonly writable?: boolean;
  readonly lock?: boolean;
  readonly direct?: boolean;
  readonly trust?: ImageTrust;
  /** Memory for the logs of qcow2 images that are written, of TABLE_LOG_SIZE bytes each; what is not enough has none. */
  readonly tableLogs?: readonly Uint8Array[];
}

/** What opening needs of the world. */
export interface DiskWorld {
  readonly files: DiskFiles;
  readonly codec: Codec;
}

/** Backing files and parts can be nested so deep. */
const MAX_DEPTH = 64;

/**
 * Opens the image at `path` with everything that it refers to. Throws a `CrosvmError` that names the file at fault;
 * nothing stays open then.
 */
export function openDisk(world: DiskWorld, path: string, options: OpenDiskOptions = {}): Disk {
  return new Opening(world, options).open(path);
}

/** The same for an image in a file that is open already, as `options` say, and becomes the disk's. */
export function openDiskIn(world: DiskWorld, file: OpenedFile, options: OpenDiskOptions = {}): Disk {
  return new Opening(world, options).openFirst(file);
}

/** A file that an image refers to. */
export interface Reference {
  /** As the image has it. */
  readonly name: string;
  /** What it is to the image: "backing file". */
  readonly role: string;
  /** Undefined if the image should say it and does not; 'guess' where images of its format never do. */
  readonly format: DiskFormat | 'guess' | undefined;
  readonly writable: boolean;
}

/** One call of `openDisk`; and what a format uses to open what its image refers to. */
export class Opening {
  readonly world: DiskWorld;
  readonly options: Required<OpenDiskOptions>;
  /** Identities of the images between here and the first one. */
  readonly #chain: string[] = [];
  #logsTaken = 0;

  constructor(world: DiskWorld, options: OpenDiskOptions) {
    this.world = world;
    this.options = {
      format: undefined,
      writable: false,
      lock: false,
      direct: false,
      trust: NO_TRUST,
      tableLogs: [],
      ...options,
    };
  }

  open(path: string): Disk {
    const { writable, lock, direct } = this.options;
    return this.openFirst(this.world.files.open(path, { writable, lock, direct, regular: false }));
  }

  openFirst(file: OpenedFile): Disk {
    return this.#openImage(file, this.options.format);
  }

  /** Opens the image that the one at `from` refers to. */
  openReference(from: OpenedFile, reference: Reference): Disk {
    const file = this.openFile(from, reference);
    const { role, format } = reference;
    if (format === undefined && !this.options.trust.probe) {
      file.store.close();
      throw unsupported(from.path, `it does not say the format of its ${role}; to have it guessed, allow "probe"`);
    }
    return this.#openImage(file, format === 'guess' ? undefined : format);
  }

  /** Opens a file that the image at `from` refers to, as it is. */
  openFile(from: OpenedFile, { name, role, writable }: Reference): OpenedFile {
    const { files } = this.world;
    // A name like nbd:... or json:... is an address elsewhere; ours are files.
    if (/^[a-z][a-z0-9+.-]*:/i.test(name)) {
      throw unsupported(from.path, `its ${role} ${JSON.stringify(name)} is no file`);
    }
    if (name === '' || name.includes('\0')) throw formatError(from.path, `the name of its ${role} is empty or broken`);
    const { lock, direct, trust } = this.options;
    const file = files.open(files.resolve(from.path, name), { writable, lock, direct, regular: true });
    if (!trust.outside && !files.isBeside(from.path, file.path)) {
      file.store.close();
      throw new CrosvmError(
        'E_DISK_TRUST',
        `${from.path}: its ${role} ${file.path} is outside of the image's folder; if you trust the image, allow "outside"`,
      );
    }
    return file;
  }

  /** The next log for an image that is written; a successor opens the same images in the same order. */
  takeTableLog(identity: string): TableLog | undefined {
    const memory = this.options.tableLogs[this.#logsTaken++];
    return memory && new TableLog(memory, identity);
  }

  /** Closes the file if it fails. */
  #openImage(file: OpenedFile, format: DiskFormat | undefined): Disk {
    const { store } = file;
    try {
      if (this.#chain.includes(file.identity)) throw formatError(file.path, 'the image refers to itself in a circle');
      if (this.#chain.length >= MAX_DEPTH)
        throw unsupported(file.path, `images are nested more than ${MAX_DEPTH} deep`);
      this.#chain.push(file.identity);
      const disk = this.#openAs(file, format ?? probeFormat(store), format === undefined);
      this.#chain.pop();
      return disk;
    } catch (error) {
      store.close();
      throw error;
    }
  }

  #openAs(file: OpenedFile, format: DiskFormat, probed: boolean): Disk {
    switch (format) {
      case 'raw':
        return new RawDisk(file.store, probed);
      case 'qcow2':
        return openQcow2(this, file);
      case 'composite':
        return openComposite(this, file);
      case 'android-sparse':
        return new AndroidSparseDisk(file.store);
      case 'zstd':
        return new ZstdDisk(file.store, this.world.codec);
    }
  }
}
