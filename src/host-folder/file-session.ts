import { ScatterList } from '../memory/scatter-list.ts';
import { AttributeChanges, DirectoryEntry, FileEntry, FolderStatistics, RecordLock } from './attributes.ts';
import type { Folder } from './folder.ts';
import { Name } from './name.ts';

/** What a file server of any protocol has for a client: the folder, and objects that each request uses again. */
export class FileSession {
  readonly folder: Folder;
  /** What the server may read of the request: where the data of a write are. */
  input = new ScatterList();
  readonly data = new ScatterList();
  readonly entry = new FileEntry();
  readonly changes = new AttributeChanges();
  readonly directoryEntry = new DirectoryEntry();
  readonly statistics = new FolderStatistics();
  readonly lock = new RecordLock();
  readonly name = new Name();
  readonly otherName = new Name();

  constructor(folder: Folder) {
    this.folder = folder;
  }
}

/** Offsets and sizes of a client go up to 2^64; what folders take is less. */
export const MAX_OFFSET = Number.MAX_SAFE_INTEGER;

export function isOffset(value: number): boolean {
  return value <= MAX_OFFSET;
}
