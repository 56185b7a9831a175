import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { close } from '../base/fd.ts';
import { notAFolder, openError } from '../base/open-error.ts';
import { CrosvmError } from '../errors.ts';
import type { Folder } from '../host-folder/folder.ts';
import { openFolder, openRoot } from '../host-folder/linux/open-folder.ts';
import type { FolderSpec } from './device-spec.ts';
import type { SharedFolder } from './made-device.ts';
import { mustMakeOwn } from './share-users.ts';

/** They are what a namespace of its own is for. */
const NO_USERS = 'uid, gid, uidmap and gidmap of a shared folder take the sandbox';

/**
 * How a device opens the folder that it is to share, in its jail or without one. Throws `E_FILE_OPEN` if it is none; `open`
 * throws `E_JAIL` for what only a jail can do.
 */
export function shareFolder(
  { path, users, groups, user, keepOwners = false, owners, rewriteSecurity = false, followsMounts = false }: FolderSpec,
  readOnly: boolean,
): { readonly open: () => Folder; readonly share: SharedFolder } {
  const absolute = resolve(path);
  mustBeFolder(absolute);
  const options = { keepOwners, owners, rewriteSecurity };
  let open = () => {
    if ((users ?? groups ?? user) !== undefined) throw new CrosvmError('E_JAIL', NO_USERS);
    const own = { uid: process.geteuid!(), gid: process.getegid!() };
    if (own.uid !== 0) mustMakeOwn(owners, own);
    return openFolder(absolute, options);
  };
  return {
    // What was open before the jail would still lead out of it.
    open: () => open(),
    share: {
      path: absolute,
      readOnly,
      followsMounts,
      users,
      groups,
      user,
      owners,
      becameRoot: () => (open = () => openFolder('/', { ...options, descriptors: '' })),
    },
  };
}

/** Throws `E_FILE_OPEN` if there is no folder of files at the path. */
export function mustBeFolder(path: string): void {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    throw openError(path, (error as NodeJS.ErrnoException).code ?? String(error), error);
  }
  if (!isFolder) throw notAFolder(path);
  close(openRoot(path));
}
