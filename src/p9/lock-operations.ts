/** Record locks. flock(2) comes as one of the whole file. */
import { LOCK_END } from '../host-folder/attributes.ts';
import { F_UNLCK, NAME_MAX } from '../host-folder/constants.ts';
import { EAGAIN, EBADF, EINVAL, ENAMETOOLONG } from '../host-folder/errno.ts';
import type { Name } from '../host-folder/name.ts';
import { P9_LOCK_BLOCKED, P9_LOCK_SUCCESS } from './protocol.ts';
import type { P9Session } from './session.ts';

/**
 * u32 fid, u8 type, u32 flags, u64 start, length (0: all behind it), u32 process, s client; answered by u8 status. A lock that
 * somebody else has is "blocked", also for who wants to wait: the client tries again.
 */
export function setLock(session: P9Session): number {
  const { request, reply, folder, lock, name } = session;
  const fid = session.takeFid();
  const type = request.u8();
  request.u32();
  const isLock = takeRange(session, type);
  request.text(name);
  if (fid === undefined || fid.file === 0) return -EBADF;
  if (!isLock) return -EINVAL;
  const owner = ownerOf(lock.pid, name);
  const result = folder.setLock(fid.file, owner, lock);
  if (result < 0 && result !== -EAGAIN) return result;
  if (result >= 0 && type !== F_UNLCK && !fid.lockOwners?.includes(owner)) (fid.lockOwners ??= []).push(owner);
  reply.u8(result === -EAGAIN ? P9_LOCK_BLOCKED : P9_LOCK_SUCCESS);
  return 0;
}

/** u32 fid, u8 type, u64 start, length, u32 process, s client; answered by the same of a lock in its way, but for the fid. */
export function testLock(session: P9Session): number {
  const { request, reply, folder, lock, name } = session;
  const fid = session.takeFid();
  const isLock = takeRange(session, request.u8());
  request.text(name);
  if (fid === undefined || fid.file === 0) return -EBADF;
  if (!isLock) return -EINVAL;
  if (name.length > NAME_MAX) return -ENAMETOOLONG; // it is part of the answer
  const process = lock.pid;
  const result = folder.testLock(fid.file, ownerOf(process, name), lock);
  if (result < 0) return result;
  reply.u8(lock.type);
  reply.big(lock.start);
  reply.big(lock.end === LOCK_END ? 0n : lock.end - lock.start + 1n);
  reply.u32(lock.type === F_UNLCK ? process : lock.pid);
  reply.text(name);
  return 0;
}

/** Makes `lock` what is next in the request: u64 start, length, u32 process. False if there can be no such lock. */
function takeRange({ request, lock }: P9Session, type: number): boolean {
  const [start, length] = [request.big(), request.big()];
  lock.type = type;
  lock.start = start;
  lock.end = length === 0n ? LOCK_END : start + length - 1n;
  lock.pid = request.u32();
  return type <= F_UNLCK && lock.start <= lock.end && lock.end <= LOCK_END;
}

/** A process of a client, as a number of 64 bits. */
function ownerOf(process: number, client: Name): bigint {
  let hash = 0;
  for (let i = client.start; i < client.start + client.length; i++) {
    hash = (Math.imul(hash, 31) + client.memory.bytes[i]!) >>> 0;
  }
  return (BigInt(hash) << 32n) | BigInt(process);
}
