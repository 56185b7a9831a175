import { EMSGSIZE, EOPNOTSUPP, EPROTO, EROFS } from '../host-folder/errno.ts';
import type { Folder } from '../host-folder/folder.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import * as attributes from './attribute-operations.ts';
import * as fids from './fid-operations.ts';
import * as files from './file-operations.ts';
import * as locks from './lock-operations.ts';
import * as names from './name-operations.ts';
import type { P9Options } from './p9-options.ts';
import * as protocol from './protocol.ts';
import type { Format } from './request.ts';
import { type Operation, P9Session } from './session.ts';

interface Entry {
  readonly operation: Operation;
  readonly format: Format;
  /** It changes the folder. */
  readonly isChange: boolean;
}

function reads(format: Format, operation: Operation): Entry {
  return { operation, format, isChange: false };
}

function changes(format: Format, operation: Operation): Entry {
  return { operation, format, isChange: true };
}

/** By type. What is missing is answered EOPNOTSUPP. */
const ENTRIES: ReadonlyMap<number, Entry> = new Map([
  [protocol.Tversion, reads('ds', fids.version)],
  [protocol.Tattach, reads('ddssd', fids.attach)],
  [protocol.Tflush, reads('w', fids.flush)],
  [protocol.Twalk, reads('ddW', fids.walk)],
  [protocol.Tclunk, reads('d', fids.clunk)],
  [protocol.Tremove, reads('d', fids.remove)],
  [protocol.Tsymlink, changes('dssd', names.symlink)],
  [protocol.Tmknod, changes('dsdddd', names.makeNode)],
  [protocol.Tmkdir, changes('dsdd', names.makeDirectory)],
  [protocol.Tlink, changes('dds', names.link)],
  [protocol.Tunlinkat, changes('dsd', names.unlinkAt)],
  [protocol.Trename, changes('dds', names.rename)],
  [protocol.Trenameat, changes('dsds', names.renameAt)],
  [protocol.Tgetattr, reads('dq', attributes.getAttributes)],
  [protocol.Tsetattr, changes('dddddqqqqq', attributes.setAttributes)],
  [protocol.Treadlink, reads('d', attributes.readLink)],
  [protocol.Tstatfs, reads('d', attributes.statistics)],
  [protocol.Txattrwalk, reads('dds', attributes.walkExtended)],
  [protocol.Txattrcreate, changes('dsqd', attributes.createExtended)],
  [protocol.Tlopen, reads('dd', files.open)],
  [protocol.Tlcreate, changes('dsddd', files.create)],
  [protocol.Tread, reads('dqd', files.read)],
  [protocol.Twrite, changes('dqD', files.write)],
  [protocol.Tfsync, reads('dd', files.sync)],
  [protocol.Treaddir, reads('dqd', files.readDirectory)],
  [protocol.Tlock, reads('dbdqqds', locks.setLock)],
  [protocol.Tgetlock, reads('dbqqds', locks.testLock)],
]);

/**
 * Serves a folder by 9P2000.L: requests in, answers out, synchronously. Whatever a client sends, a request is answered with an
 * error at worst; nothing throws.
 */
export class P9Server {
  readonly #session: P9Session;

  constructor(folder: Folder, options: P9Options) {
    this.#session = new P9Session(folder, options);
  }

  /**
   * Carries out the request in `input`. Returns how many bytes of the answer it has written to `output`: 0 if there is no room for
   * one, or nothing that could be answered.
   */
  handle(input: ScatterList, output: ScatterList): number {
    const session = this.#session;
    const { request, reply } = session;
    reply.begin(output);
    session.input = input;
    if (!request.take(input)) return 0;
    // Nobody has to prove who he is. The way to say so is an error that is none, at least to clients of diod.
    if (request.type === protocol.Tauth) return reply.sendError(request.tag, 0);
    return reply.send(request.type, request.tag, this.#carryOut());
  }

  /** The client has gone, or starts again. */
  reset(): void {
    this.#session.reset();
  }

  close(): void {
    this.#session.folder.close();
  }

  #carryOut(): number {
    const session = this.#session;
    const { request, input, msize, options } = session;
    const isFirst = msize === 0;
    if (!request.takeRest(input, isFirst ? protocol.MIN_MSIZE : msize)) return -EMSGSIZE;
    const entry = ENTRIES.get(request.type);
    if (entry === undefined) return -EOPNOTSUPP;
    if (isFirst && request.type !== protocol.Tversion) return -EPROTO;
    if (!request.check(entry.format)) return -EPROTO;
    if (entry.isChange && options.readOnly) return -EROFS;
    return entry.operation(session);
  }
}
