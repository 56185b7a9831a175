/** Locks: struct fuse_lk_in is u64 file, owner, start, end, u32 type, pid, lk_flags, padding. */
import { LOCK_END } from '../host-folder/attributes.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_SH, LOCK_UN } from '../host-folder/constants.ts';
import { EAGAIN, EINVAL } from '../host-folder/errno.ts';
import { FUSE_LK_FLOCK } from './protocol.ts';
import { BLOCKED, type FuseSession } from './session.ts';

const OWNER = 8;
const START = 16;
const END = 24;
const TYPE = 32;
const PID = 36;
const FLAGS = 40;

/** The answer is struct fuse_lk_out: u64 start, end, u32 type, pid. */
export function testLock(session: FuseSession): number {
  const { request, reply, folder, lock } = session;
  if (!takeLock(session)) return -EINVAL;
  const result = folder.testLock(request.u64(0), request.big(OWNER), lock);
  if (result < 0) return result;
  reply.big(0, lock.start);
  reply.big(8, lock.end);
  reply.u32(16, lock.type);
  reply.u32(20, lock.pid);
  return 24;
}

export function setLock(session: FuseSession): number {
  const { request, folder, lock } = session;
  const type = request.u32(TYPE);
  if ((request.u32(FLAGS) & FUSE_LK_FLOCK) !== 0) {
    const operation = type === F_RDLCK ? LOCK_SH : type === F_WRLCK ? LOCK_EX : type === F_UNLCK ? LOCK_UN : 0;
    return operation === 0 ? -EINVAL : folder.lockFile(request.u64(0), operation);
  }
  return takeLock(session) ? folder.setLock(request.u64(0), request.big(OWNER), lock) : -EINVAL;
}

/** The same, and waits for who is in the way. */
export function waitForLock(session: FuseSession): number {
  const result = setLock(session);
  return result === -EAGAIN ? BLOCKED : result;
}

function takeLock({ request, lock }: FuseSession): boolean {
  lock.type = request.u32(TYPE);
  lock.start = request.big(START);
  lock.end = request.big(END);
  lock.pid = request.u32(PID);
  return lock.type <= F_UNLCK && lock.start <= lock.end && lock.end <= LOCK_END;
}
