/** In whose name the calling thread makes files (credentials(7)). */
import { check, libc } from './ffi.ts';
import { prctl } from './prctl.ts';
import { systemCall } from './system-call.ts';
import type { Ids } from './user-maps.ts';

const SYS_SETRESUID = 117;
const SYS_SETRESGID = 119;
const SYS_SETFSUID = 122;
const SYS_SETFSGID = 123;
const CLONE_FS = 0x200;
const PR_SET_SECUREBITS = 28;
const SECBIT_NO_SETUID_FIXUP = 4;

const cUmask = libc<(mask: number) => number>('uint32_t umask(uint32_t)');
const cUnshare = libc<(flags: number) => number>('int unshare(int)');

const NO_ID = -1;

/** An id that cannot be (it is not mapped into the user namespace, say) is that of the process itself. */
export function setFileSystemIds(uid: number, gid: number): void {
  setId(SYS_SETFSGID, gid, process.getegid!());
  setId(SYS_SETFSUID, uid, process.geteuid!());
}

function setId(call: number, id: number, own: number): void {
  if (!trySet(call, id)) trySet(call, own);
}

/** These calls always return the id that was, so only another one tells. */
function trySet(call: number, id: number): boolean {
  systemCall(call, id, 0, 0, 0, 0, 0);
  return systemCall(call, NO_ID, 0, 0, 0, 0, 0) === id;
}

/** The calling thread becomes another user for good; its capabilities stay, until they are dropped. Throws `SystemError`. */
export function becomeUser({ uid, gid }: Ids): void {
  keepFileCapabilities();
  check(systemCall(SYS_SETRESGID, gid, gid, gid, 0, 0, 0), 'setresgid', `group ${gid}`);
  check(systemCall(SYS_SETRESUID, uid, uid, uid, 0, 0, 0), 'setresuid', `user ${uid}`);
}

/** Whether this thread may make files in the names of others. */
export function canSwitchIds(): boolean {
  const own = process.geteuid!();
  const can = trySet(SYS_SETFSUID, own + 1);
  trySet(SYS_SETFSUID, own);
  return can;
}

export function setUmask(mask: number): void {
  cUmask(mask);
}

/** Gives the calling thread its own umask and working directory. */
export function unshareFileState(): void {
  cUnshare(CLONE_FS);
}

/** The capabilities on files stay when the thread becomes another user. It takes CAP_SETPCAP; without it, nothing happens. */
export function keepFileCapabilities(): void {
  try {
    prctl('PR_SET_SECUREBITS', PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
  } catch {
    // then the guest's other users have their own rights only
  }
}
