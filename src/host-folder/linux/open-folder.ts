import { DescriptorPaths } from '../../base/descriptor-paths.ts';
import { close, open } from '../../base/fd.ts';
import { fileSystemType } from '../../base/file-calls.ts';
import { canSwitchIds, keepFileCapabilities, unshareFileState } from '../../base/file-credentials.ts';
import { openError } from '../../base/open-error.ts';
import type { SystemError } from '../../base/system-error.ts';
import { CrosvmError } from '../../errors.ts';
import { O_DIRECTORY, O_PATH } from '../constants.ts';
import { AttributeNames } from './attribute-names.ts';
import { Credentials } from './credentials.ts';
import { isKernelFileSystem } from './devices.ts';
import { LinuxFolder } from './linux-folder.ts';
import { OWNER_ATTRIBUTE, OwnerKeepingFolder } from './owner-keeping-folder.ts';
import type { PathOwner } from './path-owners.ts';
import { PathOwnersFolder } from './path-owners-folder.ts';

/** Where the kernel lists the descriptors of the process that asks. */
export const OWN_DESCRIPTORS = '/proc/self/fd';

export interface OpenFolderOptions {
  /** Where the kernel lists this process's descriptors; empty if that is its working directory. */
  readonly descriptors?: string;
  /** All files stay this process's; whom clients take for their owners is kept beside them. */
  readonly keepOwners?: boolean;
  /** Whose files are by their paths; it takes the right to be those of them who are not this process's user. */
  readonly owners?: readonly PathOwner[] | undefined;
  /** Clients' `security.` attributes are kept as `user.virtiofs.security.` ones. */
  readonly rewriteSecurity?: boolean;
}

/**
 * Opens a folder of the host for the calling thread, which from then on makes files in the names of clients, as far as it
 * may. Throws `E_FILE_OPEN`.
 */
export function openFolder(
  path: string,
  { descriptors = OWN_DESCRIPTORS, keepOwners = false, owners, rewriteSecurity = false }: OpenFolderOptions = {},
): LinuxFolder {
  const root = openRoot(path);
  unshareFileState();
  keepFileCapabilities();
  const paths = new DescriptorPaths(descriptors);
  if (keepOwners) {
    const names = new AttributeNames(rewriteSecurity, OWNER_ATTRIBUTE);
    return new OwnerKeepingFolder(root, paths, new Credentials(false), names);
  }
  const parts = [root, paths, new Credentials(canSwitchIds()), new AttributeNames(rewriteSecurity)] as const;
  return owners === undefined ? new LinuxFolder(...parts) : new PathOwnersFolder(owners, ...parts);
}

/** An O_PATH descriptor of a folder of files. Throws `E_FILE_OPEN`. */
export function openRoot(path: string): number {
  let root: number;
  try {
    root = open(path, O_PATH | O_DIRECTORY);
  } catch (error) {
    throw openError(path, (error as SystemError).errno, error);
  }
  if (!isKernelFileSystem(fileSystemType(root))) return root;
  close(root);
  throw new CrosvmError('E_FILE_OPEN', `${path}: is a window into the kernel, not a folder of files`);
}
