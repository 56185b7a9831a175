/** readv(2) and writev(2) of scatter lists, on descriptors that do not block. */
import type { ScatterList } from '../memory/scatter-list.ts';
import { EAGAIN, EINTR, errno, libc } from './ffi.ts';
import { fillIovecs, IOV_MAX, iovecs, iovecsAddress } from './iovec.ts';
import { SystemError } from './system-error.ts';

type Transfer = (fd: number, iovecs: number, count: number) => number;
const cReadv = libc<Transfer>('int64_t readv(int, int64_t, int)');
const cWritev = libc<Transfer>('int64_t writev(int, int64_t, int)');

/** Reads into the first pieces of a list. Returns how many bytes; 0 at the end, -1 when nothing is there now. */
export function readScattered(fd: number, list: ScatterList): number {
  return transfer(cReadv, 'readv', fd, list, 0);
}

/** Writes a list from its byte `from` on, at most `most` bytes. Returns how many were taken; -1 when none can be now. */
export function writeScattered(fd: number, list: ScatterList, from = 0, most = list.length): number {
  return transfer(cWritev, 'writev', fd, list, from, most);
}

function transfer(
  call: Transfer,
  name: string,
  fd: number,
  list: ScatterList,
  from: number,
  most = list.length,
): number {
  let piece = 0;
  let skip = from;
  while (piece < list.count && skip >= list.lengths[piece]!) skip -= list.lengths[piece++]!;
  const count = fillIovecs(iovecs, 0, list, piece, skip, Math.min(list.length - from, most), IOV_MAX);
  if (count === 0) return 0;
  for (;;) {
    const n = call(fd, iovecsAddress, count);
    if (n !== -1) return n;
    const reason = errno();
    if (reason === EAGAIN) return -1;
    if (reason !== EINTR) throw new SystemError(name, reason);
  }
}
