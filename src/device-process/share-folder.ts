import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { notAFolder, openError } from '../base/open-error.ts';
import type { Folder } from '../host-folder/folder.ts';
import { openFolder } from '../host-folder/linux/open-folder.ts';
import type { FolderSpec } from './device-spec.ts';
import type { SharedFolder } from './made-device.ts';

/** How a device opens the folder that it is to share, in its jail or without one. Throws `E_FILE_OPEN` if it is none. */
export function shareFolder(
  { path, users, groups, keepOwners = false }: FolderSpec,
  readOnly: boolean,
): { readonly open: () => Folder; readonly share: SharedFolder } {
  const absolute = resolve(path);
  mustBeFolder(absolute);
  let open = () => openFolder(absolute, { keepOwners });
  return {
    // What was open before the jail would still lead out of it.
    open: () => open(),
    share: {
      path: absolute,
      readOnly,
      users,
      groups,
      becameRoot: () => (open = () => openFolder('/', { descriptors: '', keepOwners })),
    },
  };
}

function mustBeFolder(path: string): void {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    throw openError(path, (error as NodeJS.ErrnoException).code ?? String(error), error);
  }
  if (!isFolder) throw notAFolder(path);
}
