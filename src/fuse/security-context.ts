import { EINVAL, EOPNOTSUPP, EPERM } from '../host-folder/errno.ts';
import { FUSE_MAX_NR_SECCTX } from './protocol.ts';
import type { FuseSession } from './session.ts';

const HEADER_SIZE = 8;
/** Versions from this one on say where extensions are. */
const EXTENSIONS_MINOR = 38;

/**
 * Where attributes of this kind cannot be, or a device may not set them (who does so has to have rights on the whole host), files
 * have no labels: a guest that uses some works as it does with a share that never heard of them.
 */
const KEEPS_NO_LABELS: ReadonlySet<number> = new Set([-EOPNOTSUPP, -EPERM]);

/**
 * Gives a new file (`session.entry`) the security labels that the guest has sent behind the texts of its request: struct
 * fuse_secctx_header (u32 size, nr_secctx), and for each a struct fuse_secctx (u32 size, padding), the name of the
 * attribute and its value.
 */
export function storeSecurityContext(session: FuseSession, textsEnd: number): number {
  const { request, minor } = session;
  let at = minor >= EXTENSIONS_MINOR ? request.extensions : textsEnd;
  while (at + HEADER_SIZE <= request.length) {
    const size = request.u32(at);
    const count = request.u32(at + 4);
    if (size < HEADER_SIZE) return size === 0 ? 0 : -EINVAL;
    if (count <= FUSE_MAX_NR_SECCTX) return storeAll(session, at + HEADER_SIZE, count);
    at += size;
  }
  return 0;
}

function storeAll(session: FuseSession, first: number, count: number): number {
  const { request, folder, entry, name, otherName } = session;
  for (let at = first, i = 0; i < count; i++) {
    const size = request.u32(at);
    const valueAt = request.text(at + HEADER_SIZE, name);
    if (valueAt === -1 || !request.bytes(valueAt, size, otherName)) return -EINVAL;
    const result = folder.setExtended(entry.inode, name, otherName, 0);
    if (result < 0) return KEEPS_NO_LABELS.has(result) ? 0 : result;
    at = valueAt + size;
  }
  return 0;
}
