import type { Name } from './name.ts';

/** Hears of changes of a folder. Inodes are those that clients have. */
export interface ChangeListener {
  /** There is now something else, or nothing, of this name; so the folder `parent` has changed, too. */
  nameChanged(parent: number, name: Name): void;
  /** The file has other data, and with them other attributes. */
  dataChanged(inode: number): void;
  attributesChanged(inode: number): void;
  /** Changes were lost: anything in the folders that are watched may be another. */
  changesLost(): void;
}

/**
 * What happens in the folders in which clients look, by whomever. What is not told is possible, too: of folders in which nobody
 * has looked for long, of files that were changed by a name in another folder or through a mapping.
 */
export interface FolderChanges {
  /** Readable when something has changed. */
  readonly fd: number;
  /** Inodes of the folders that are watched. */
  watched(): Iterable<number>;
  /** Tells of all changes since this or `skip` was called. */
  tell(listener: ChangeListener): void;
  /** The changes since then are known to whom they matter; tells only if some were lost. */
  skip(listener: ChangeListener): void;
  /** Nothing is watched any more. */
  close(): void;
}
