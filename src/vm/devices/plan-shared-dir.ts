import type { SharedDirOption } from '../../cli/options/shared-dir.ts';
import type { FolderSpec, FsSpec, P9Spec } from '../../device-process/device-spec.ts';
import { DEFAULT_FUSE_OPTIONS, type FuseOptions } from '../../fuse/fuse-options.ts';
import type { P9Options } from '../../p9/p9-options.ts';
import { fsTag } from '../../virtio/fs/fs-config.ts';
import type { FsSetup } from '../../virtio/fs/fs-device.ts';
import { p9Config } from '../../virtio/p9/p9-config.ts';

/** With cache=always nothing changes behind the guest's back, so it may as well remember it for a day. */
const ALWAYS_TIMEOUT = 86_400;

/** What a guest pays for a window is 1/64 of it, of its memory. */
const DAX_WINDOW_MIB = 256;
const MIB = 1 << 20;

/** The device for a folder that the user wants to share. Throws `E_FS_TAG`, `E_9P_TAG`. */
export function sharedFolderSpec(option: SharedDirOption): FsSpec | P9Spec {
  const { path, tag, type = 'p9', uidmap, gidmap, uid, gid } = option;
  if (type === 'fs') fsTag(tag);
  else p9Config(tag);
  const folder: FolderSpec = {
    path,
    tag,
    users: uidmap,
    groups: gidmap,
    user: (uid ?? gid) === undefined ? undefined : { uid: uid ?? 0, gid: gid ?? 0 },
    keepOwners: option.keep_owners ?? false,
    owners: option.ugid_map,
    rewriteSecurity: option['rewrite-security-xattrs'] ?? false,
    followsMounts: option.new_mounts ?? false,
  };
  return type === 'fs'
    ? { type, ...folder, ...fsSetup(option) }
    : { type: '9p', ...folder, options: p9Options(option) };
}

function fsSetup(option: SharedDirOption): FsSetup {
  const { tag, queues = 1, dax = false, dax_window: windowMib = DAX_WINDOW_MIB } = option;
  return { tag, queues, window: dax ? windowMib * MIB : 0, options: fuseOptions(option) };
}

/** The rest of the keys is about what the guest remembers, which its own mount options say for 9P. */
function p9Options({ ascii_casefold: asciiCasefold = false, ro: readOnly = false }: SharedDirOption): P9Options {
  return { asciiCasefold, readOnly };
}

function fuseOptions(option: SharedDirOption): FuseOptions {
  const { cache = 'auto', writeback = false, ro = false } = option;
  return {
    cache,
    timeout: option.timeout ?? (cache === 'always' ? ALWAYS_TIMEOUT : DEFAULT_FUSE_OPTIONS.timeout),
    negativeTimeout: option.negative_timeout ?? 0,
    writeback,
    posixAcl: option.posix_acl ?? true,
    asciiCasefold: option.ascii_casefold ?? false,
    securityContext: option.security_ctx ?? true,
    hostLocks: option.host_locks ?? true,
    readOnly: ro,
  };
}
