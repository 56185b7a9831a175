import { findFolded } from '../host-folder/case-folding.ts';
import { EINVAL } from '../host-folder/errno.ts';
import { FileSession } from '../host-folder/file-session.ts';
import type { Folder } from '../host-folder/folder.ts';
import type { Name } from '../host-folder/name.ts';
import type { FileWindow } from './file-window.ts';
import type { FuseOptions } from './fuse-options.ts';
import { FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE } from './protocol.ts';
import { FuseReply } from './reply.ts';
import { FuseRequest } from './request.ts';

/** An operation does not answer (`NO_REPLY`), or not yet (`BLOCKED`). */
export const NO_REPLY = -1_000_001;
export const BLOCKED = -1_000_002;

/**
 * Carries out one kind of request: reads `request`, fills `reply`. Returns the bytes of payload, a negative errno, NO_REPLY or
 * BLOCKED.
 */
export type Operation = (session: FuseSession) => number;

/** What all operations share, with what was agreed on. */
export class FuseSession extends FileSession {
  readonly options: FuseOptions;
  readonly request = new FuseRequest();
  readonly reply = new FuseReply();
  /** INIT has come. */
  isStarted = false;
  /** Flags of INIT that both sides know, by the number of the bit. */
  agreed: ReadonlySet<number> = new Set();
  minor = 0;
  readonly window: FileWindow;
  /** FOPEN_ flags of files. */
  readonly fileFlags: number;

  constructor(folder: Folder, options: FuseOptions, window: FileWindow) {
    super(folder);
    this.options = options;
    this.window = window;
    this.fileFlags = { never: FOPEN_DIRECT_IO, auto: 0, always: FOPEN_KEEP_CACHE }[options.cache];
  }

  /** Seconds for which the guest may remember names and attributes. */
  get timeout(): number {
    return this.options.cache === 'never' ? 0 : this.options.timeout;
  }

  /** The answer with `entry` in it, at the start of the payload. */
  replyEntry(): number {
    return this.reply.entry(0, this.entry, this.timeout, this.timeout);
  }

  /** Makes `name` the text at an offset of the request. Returns the offset behind it, or a negative errno. */
  takeName(at: number, name: Name = this.name): number {
    const end = this.request.text(at, name);
    return end === -1 ? -EINVAL : end;
  }

  /**
   * After a look for `name` in the node of the request in vain: whether it is there in another case, if that is not to matter.
   * `name` is what is there then.
   */
  foldName(): boolean {
    const { folder, request, name, directoryEntry } = this;
    return this.options.asciiCasefold && findFolded(folder, request.nodeid, name, directoryEntry);
  }
}
