import { CrosvmError } from '../errors.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EEXIST: 'there is such a file already',
  EACCES: 'you may not open it',
  EROFS: 'it is on a file system that may only be read',
  ENOTDIR: 'part of the path is not a folder',
  EISDIR: 'it is a folder',
  ELOOP: 'too many symbolic links',
};

/** `E_FILE_OPEN` for a path that could not be opened; `code` is the errno by name. */
export function openError(path: string, code: string, cause: unknown): CrosvmError {
  return new CrosvmError('E_FILE_OPEN', `${path}: cannot be opened: ${REASONS[code] ?? code}`, { cause });
}

/** `E_FILE_OPEN` for a path that leads to something else than a file. */
export function notAFile(path: string, isFolder: boolean): CrosvmError {
  return new CrosvmError('E_FILE_OPEN', `${path}: is ${isFolder ? 'a folder' : 'not a regular file'}`);
}

/** `E_FILE_OPEN` for a path that should lead to a folder. */
export function notAFolder(path: string): CrosvmError {
  return new CrosvmError('E_FILE_OPEN', `${path}: is not a folder`);
}
