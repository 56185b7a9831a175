/** Reading folders. */
import { FileEntry } from '../host-folder/attributes.ts';
import { EINVAL } from '../host-folder/errno.ts';
import { ENTRY_SIZE } from './reply.ts';
import type { FuseSession } from './session.ts';

/** struct fuse_dirent: u64 ino, u64 off, u32 namelen, u32 type, name; the next one at a multiple of 8. */
const DIRENT_SIZE = 24;

const NOTHING = new FileEntry();

/** struct fuse_read_in. */
export function readDirectory(session: FuseSession): number {
  return readEntries(session, 0);
}

/** The same, with a struct fuse_entry_out in front of each: a look-up of all that is not `.` or `..`. */
export function readDirectoryPlus(session: FuseSession): number {
  return readEntries(session, ENTRY_SIZE);
}

function readEntries(session: FuseSession, extra: number): number {
  const { request, reply, folder, directoryEntry: next } = session;
  const file = request.u64(0);
  const room = Math.min(request.u32(16), reply.room);
  let [low, high] = [request.u32(8), request.u32(12)];
  let at = 0;
  for (;;) {
    const result = folder.nextEntry(file, low, high, next);
    if (result <= 0) return at > 0 ? at : result;
    const size = extra + ((DIRENT_SIZE + next.name.length + 7) & ~7);
    if (at + size > room) return at > 0 ? at : -EINVAL;
    if (extra > 0) putEntry(session, at);
    putDirent(session, at + extra, size - extra);
    at += size;
    low = next.cookieLow;
    high = next.cookieHigh;
  }
}

/** What has gone since it was listed is listed without being looked up. */
function putEntry(session: FuseSession, at: number): void {
  const { request, reply, folder, entry, directoryEntry, timeout } = session;
  const isFound = !directoryEntry.name.isDots && folder.lookup(request.nodeid, directoryEntry.name, entry) === 0;
  if (isFound) reply.entry(at, entry, timeout, timeout);
  else reply.entry(at, NOTHING, 0, 0);
}

function putDirent({ reply, directoryEntry: from }: FuseSession, at: number, size: number): void {
  const { name } = from;
  reply.clear(at + size - 8, 8);
  reply.u32(at, from.inoLow);
  reply.u32(at + 4, from.inoHigh);
  reply.u32(at + 8, from.cookieLow);
  reply.u32(at + 12, from.cookieHigh);
  reply.u32(at + 16, name.length);
  reply.u32(at + 20, from.type);
  name.copyTo(reply.bytes, reply.payloadStart + at + DIRENT_SIZE);
}
