import { EINTR, EINVAL, EIO, ENOLCK, ENOSYS, EROFS } from '../host-folder/errno.ts';
import type { Folder } from '../host-folder/folder.ts';
import { ScatterList } from '../memory/scatter-list.ts';
import * as attributes from './attribute-operations.ts';
import * as directories from './directory-operations.ts';
import * as files from './file-operations.ts';
import { type FileWindow, NO_WINDOW } from './file-window.ts';
import type { FuseOptions } from './fuse-options.ts';
import { init } from './init.ts';
import * as locks from './lock-operations.ts';
import * as mappings from './mapping-operations.ts';
import * as names from './name-operations.ts';
import * as protocol from './protocol.ts';
import { BLOCKED, FuseSession, NO_REPLY, type Operation } from './session.ts';

/** An operation, and the bytes of arguments that it has at least. */
interface Entry {
  readonly operation: Operation;
  readonly length: number;
  /** It changes the folder. */
  readonly isChange: boolean;
  /** It is never answered, whatever is wrong with it. */
  readonly isSilent: boolean;
}

function reads(length: number, operation: Operation): Entry {
  return { operation, length, isChange: false, isSilent: false };
}

function changes(length: number, operation: Operation): Entry {
  return { operation, length, isChange: true, isSilent: false };
}

function silent(length: number, act: (session: FuseSession) => void): Entry {
  const operation = (session: FuseSession) => {
    act(session);
    return NO_REPLY;
  };
  return { operation, length, isChange: false, isSilent: true };
}

/** By opcode. What is missing is answered ENOSYS, which the guest remembers. */
const ENTRIES: readonly (Entry | undefined)[] = entriesOf([
  [protocol.FUSE_LOOKUP, reads(1, names.lookup)],
  [protocol.FUSE_FORGET, silent(8, names.forget)],
  [protocol.FUSE_BATCH_FORGET, silent(8, names.batchForget)],
  [protocol.FUSE_SYMLINK, changes(2, names.symlink)],
  [protocol.FUSE_MKNOD, changes(17, names.makeNode)],
  [protocol.FUSE_MKDIR, changes(9, names.makeDirectory)],
  [protocol.FUSE_UNLINK, changes(1, names.unlink)],
  [protocol.FUSE_RMDIR, changes(1, names.removeDirectory)],
  [protocol.FUSE_RENAME, changes(10, names.rename)],
  [protocol.FUSE_RENAME2, changes(18, names.rename2)],
  [protocol.FUSE_LINK, changes(9, names.link)],
  [protocol.FUSE_GETATTR, reads(16, attributes.getAttributes)],
  [protocol.FUSE_STATX, reads(24, attributes.statx)],
  [protocol.FUSE_SETATTR, changes(88, attributes.setAttributes)],
  [protocol.FUSE_READLINK, reads(0, attributes.readLink)],
  [protocol.FUSE_STATFS, reads(0, attributes.statistics)],
  [protocol.FUSE_SYNCFS, reads(0, attributes.syncFileSystem)],
  [protocol.FUSE_SETXATTR, changes(9, attributes.setExtended)],
  [protocol.FUSE_GETXATTR, reads(9, attributes.getExtended)],
  [protocol.FUSE_LISTXATTR, reads(8, attributes.listExtended)],
  [protocol.FUSE_REMOVEXATTR, changes(1, attributes.removeExtended)],
  [protocol.FUSE_OPEN, reads(8, files.open)],
  [protocol.FUSE_OPENDIR, reads(8, files.openDirectory)],
  [protocol.FUSE_CREATE, changes(17, files.create)],
  [protocol.FUSE_TMPFILE, changes(17, files.createUnnamed)],
  [protocol.FUSE_READ, reads(40, files.read)],
  [protocol.FUSE_WRITE, changes(40, files.write)],
  [protocol.FUSE_FLUSH, reads(24, files.flush)],
  [protocol.FUSE_RELEASE, reads(24, files.release)],
  [protocol.FUSE_RELEASEDIR, reads(24, files.release)],
  [protocol.FUSE_FSYNC, reads(16, files.sync)],
  [protocol.FUSE_FSYNCDIR, reads(16, files.sync)],
  [protocol.FUSE_FALLOCATE, changes(32, files.allocate)],
  [protocol.FUSE_LSEEK, reads(24, files.seek)],
  [protocol.FUSE_COPY_FILE_RANGE, changes(56, files.copyRange)],
  [protocol.FUSE_IOCTL, reads(32, files.control)],
  [protocol.FUSE_SETUPMAPPING, reads(40, mappings.setUpMapping)],
  [protocol.FUSE_REMOVEMAPPING, reads(4, mappings.removeMapping)],
  [protocol.FUSE_READDIR, reads(40, directories.readDirectory)],
  [protocol.FUSE_READDIRPLUS, reads(40, directories.readDirectoryPlus)],
  [protocol.FUSE_GETLK, reads(48, locks.testLock)],
  [protocol.FUSE_SETLK, reads(48, locks.setLock)],
  [protocol.FUSE_SETLKW, reads(48, locks.waitForLock)],
]);

function entriesOf(pairs: readonly (readonly [number, Entry])[]): (Entry | undefined)[] {
  const entries: (Entry | undefined)[] = new Array(1 + Math.max(...pairs.map(([opcode]) => opcode))).fill(undefined);
  for (const [opcode, entry] of pairs) entries[opcode] = entry;
  return entries;
}

/** What a request leaves that cannot be carried out yet, to be tried again. */
export class BlockedRequest {
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly #bytes: Uint8Array;

  constructor(uniqueLow: number, uniqueHigh: number, bytes: Uint8Array) {
    this.uniqueLow = uniqueLow;
    this.uniqueHigh = uniqueHigh;
    this.#bytes = bytes;
  }

  /** Appends the request as it came. */
  addTo(list: ScatterList): void {
    list.add({ bytes: this.#bytes, address: 0 }, 0, this.#bytes.length);
  }
}

/** What `handle` returns for a request that waits for somebody else's lock. */
export const WAITS = -1;

/**
 * Serves a folder by the FUSE protocol: requests in, answers out, synchronously. Whatever a guest sends, a request is answered
 * or ignored; nothing throws.
 */
export class FuseServer {
  readonly #session: FuseSession;
  readonly #retry = new ScatterList();

  constructor(folder: Folder, options: FuseOptions, window: FileWindow = NO_WINDOW) {
    this.#session = new FuseSession(folder, options, window);
  }

  /**
   * Carries out the request in `input`. Returns how many bytes of the answer it has written to `output` (0: there is none), or
   * WAITS: then `blocked` is to be called, and the request tried again later.
   */
  handle(input: ScatterList, output: ScatterList): number {
    const session = this.#session;
    const { request, reply } = session;
    reply.begin(output);
    session.input = input;
    if (!request.take(input)) return input.length < protocol.IN_HEADER_SIZE ? 0 : this.#send(-EINVAL);
    const result = this.#carryOut();
    if (result === NO_REPLY) return 0;
    return result === BLOCKED ? WAITS : this.#send(result);
  }

  /** The request that `handle` has just put off. */
  blocked(): BlockedRequest {
    const { request } = this.#session;
    const length = protocol.IN_HEADER_SIZE + request.length;
    return new BlockedRequest(request.uniqueLow, request.uniqueHigh, request.memory.bytes.slice(0, length));
  }

  /** Answers the request that `handle` has just put off, as it cannot wait; returns as `handle` does. */
  refuseToWait(): number {
    return this.#send(-ENOLCK);
  }

  /** Tries a request again; returns as `handle` does. */
  retry(blocked: BlockedRequest, output: ScatterList): number {
    this.#retry.clear();
    blocked.addTo(this.#retry);
    return this.handle(this.#retry, output);
  }

  /** Ends a request that waits. */
  interrupt({ uniqueLow, uniqueHigh }: BlockedRequest, output: ScatterList): number {
    this.#session.reply.begin(output);
    return this.#session.reply.send(uniqueLow, uniqueHigh, -EINTR);
  }

  /** If the request that `handle` had last was an INTERRUPT: whether it meant this one. */
  wasInterrupt({ uniqueLow, uniqueHigh }: BlockedRequest): boolean {
    const { request } = this.#session;
    if (request.opcode !== protocol.FUSE_INTERRUPT) return false;
    return request.u32(0) === uniqueLow && request.u32(4) === uniqueHigh;
  }

  /** The guest starts again. */
  reset(): void {
    this.#session.isStarted = false;
    this.#session.folder.reset();
  }

  close(): void {
    this.#session.folder.close();
  }

  #carryOut(): number {
    const session = this.#session;
    const { request, options } = session;
    const { opcode } = request;
    if (opcode === protocol.FUSE_INTERRUPT) return NO_REPLY;
    if (opcode === protocol.FUSE_INIT) return request.length < 16 ? -EINVAL : init(session);
    if (!session.isStarted) return opcode === protocol.FUSE_DESTROY ? 0 : -EIO;
    if (opcode === protocol.FUSE_DESTROY) {
      this.reset();
      return 0;
    }
    const entry = ENTRIES[opcode];
    if (entry === undefined) return -ENOSYS;
    if (request.length < entry.length) return entry.isSilent ? NO_REPLY : -EINVAL;
    if (entry.isChange && options.readOnly) return -EROFS;
    return entry.operation(session);
  }

  #send(result: number): number {
    const { request, reply } = this.#session;
    if (result < 0) reply.isDirect = false;
    return reply.send(request.uniqueLow, request.uniqueHigh, result);
  }
}
