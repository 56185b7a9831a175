import type { SharedDirOption } from '../../cli/options/shared-dir.ts';
import type { FsSpec } from '../../device-process/device-spec.ts';
import { CrosvmError } from '../../errors.ts';
import { DEFAULT_FUSE_OPTIONS, type FuseOptions } from '../../fuse/fuse-options.ts';

/** With cache=always nothing changes behind the guest's back, so it may as well remember it for a day. */
const ALWAYS_TIMEOUT = 86_400;

/** The device for a folder that the user wants to share. Throws `E_OPTION`. */
export function sharedFolderSpec(option: SharedDirOption): FsSpec {
  const { path, tag, type = 'p9', queues = 1, uidmap, gidmap } = option;
  if (type !== 'fs') throw new CrosvmError('E_OPTION', `--shared-dir ${path}:${tag}: say type=fs; there is no 9P yet`);
  return { type: 'fs', path, tag, queues, options: fuseOptions(option), users: uidmap, groups: gidmap };
}

function fuseOptions(option: SharedDirOption): FuseOptions {
  const { cache = 'auto', writeback = false, ro = false } = option;
  return {
    cache,
    timeout: option.timeout ?? (cache === 'always' ? ALWAYS_TIMEOUT : DEFAULT_FUSE_OPTIONS.timeout),
    negativeTimeout: option.negative_timeout ?? 0,
    writeback,
    posixAcl: option.posix_acl ?? true,
    rewriteSecurityXattrs: option['rewrite-security-xattrs'] ?? false,
    asciiCasefold: option.ascii_casefold ?? false,
    securityContext: option.security_ctx ?? true,
    readOnly: ro,
  };
}
