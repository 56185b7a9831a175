/** Files of a folder for the program that has it, by their paths. */

import { CrosvmError } from '../errors.ts';
import { bytesList } from '../memory/bytes-list.ts';
import { FileEntry } from './attributes.ts';
import { O_RDONLY, O_TRUNC, O_WRONLY } from './constants.ts';
import { ENOENT } from './errno.ts';
import { type Folder, ROOT_INODE } from './folder.ts';
import { Name } from './name.ts';

/** Makes a file (`bin/tool`), and the folders that lead to it, or writes it anew. Throws `E_FOLDER_FILE`. */
export function putFile(folder: Folder, path: string, content: string | Uint8Array, mode = 0o644): void {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const entry = new FileEntry();
  const names = path.split('/');
  const name = Name.of(names.pop()!);
  const parent = walk(folder, path, names, entry, (at, missing) => folder.makeDirectory(at, missing, 0o755, entry));
  const file = folder.create(parent, name, O_WRONLY | O_TRUNC, mode, entry);
  const written = file < 0 ? file : folder.write(file, 0, bytesList(bytes));
  if (file >= 0) folder.release(file);
  if (file >= 0) folder.forget(entry.inode, 1);
  folder.forget(parent, 1);
  if (written !== bytes.length) throw fileError(path, written);
}

/** The content of a file. Throws `E_FOLDER_FILE` if there is none. */
export function getFile(folder: Folder, path: string): Uint8Array {
  const entry = new FileEntry();
  const inode = walk(folder, path, path.split('/'), entry, () => -ENOENT);
  const bytes = new Uint8Array(entry.attributes.size);
  const file = folder.open(inode, O_RDONLY);
  const read = file < 0 ? file : folder.read(file, 0, bytesList(bytes));
  if (file >= 0) folder.release(file);
  folder.forget(inode, 1);
  if (read < 0) throw fileError(path, read);
  return bytes.subarray(0, read);
}

/** The inode that names lead to, which is given out once; `make` makes those that are not there. */
function walk(
  folder: Folder,
  path: string,
  names: readonly string[],
  entry: FileEntry,
  make: (parent: number, name: Name) => number,
): number {
  let at = ROOT_INODE;
  for (const text of names) {
    const name = Name.of(text);
    let result = folder.lookup(at, name, entry);
    if (result === -ENOENT) result = make(at, name);
    folder.forget(at, 1);
    if (result < 0) throw fileError(path, result);
    at = entry.inode;
  }
  return at;
}

function fileError(path: string, result: number): CrosvmError {
  return new CrosvmError('E_FOLDER_FILE', `${path}: the folder refuses it (errno ${-result})`);
}
