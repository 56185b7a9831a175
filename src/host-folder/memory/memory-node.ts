import { S_IFDIR, S_IFMT, S_ISGID, S_ISUID } from '../constants.ts';
import { NODE_BYTES } from './memory-budget.ts';

/** Content is kept in pieces of so many bytes, and what was never written takes none. */
export const PAGE_BYTES = 16384;

interface Time {
  readonly seconds: number;
  readonly ns: number;
}

/** Above the cookies of `.` and `..`. */
export const FIRST_ORDER = 3;

/** What a name in a folder stands for. Whatever gets a name later has a higher `order`. */
export interface Child {
  readonly node: MemoryNode;
  readonly order: number;
}

/** A file, folder or link of a `MemoryFolder`. */
export class MemoryNode {
  readonly inode: number;
  mode: number;
  uid: number;
  gid: number;
  links = 0;
  readonly major: number;
  readonly minor: number;
  /** Bytes. */
  size = 0;
  /** Of a regular file: pieces by their number. */
  readonly pages = new Map<number, Uint8Array>();
  /** Of a folder: what is in it, by names as `Name.toKey` gives them. */
  readonly children = new Map<string, Child>();
  #lastOrder = FIRST_ORDER - 1;
  /** Of a folder: the one that it is in; itself of the root. */
  parent: MemoryNode;
  /** Of a symbolic link. */
  target: Uint8Array = new Uint8Array(0);
  /** Extended attributes, by names likewise. */
  readonly extended = new Map<string, Uint8Array>();
  atime: Time;
  mtime: Time;
  ctime: Time;
  readonly btime: Time;
  /** Of the budget, but for content and names. */
  bytes = NODE_BYTES;
  /** How often clients have it, and how often it is open. */
  lookups = 0;
  opened = 0;

  constructor(inode: number, mode: number, uid: number, gid: number, device: readonly [major: number, minor: number]) {
    this.inode = inode;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    [this.major, this.minor] = device;
    this.parent = this;
    this.atime = this.mtime = this.ctime = this.btime = timeNow();
  }

  /** S_IF. */
  get type(): number {
    return this.mode & S_IFMT;
  }

  get isFolder(): boolean {
    return this.type === S_IFDIR;
  }

  /** What has that name in this folder. */
  child(key: string): MemoryNode | undefined {
    return this.children.get(key)?.node;
  }

  addChild(key: string, node: MemoryNode): void {
    this.children.set(key, { node, order: ++this.#lastOrder });
  }

  /** Its content or what it holds has changed. */
  touch(): void {
    this.mtime = this.ctime = timeNow();
  }

  /** What is known of it has changed. */
  touchAttributes(): void {
    this.ctime = timeNow();
  }
}

export function timeNow(): Time {
  const ms = Date.now();
  return { seconds: Math.floor(ms / 1000), ns: (ms % 1000) * 1_000_000 };
}

const GROUP_EXECUTE = 0o010;

/** Takes set-user-id away, and set-group-id of what a group may execute. */
export function takePrivileges(node: MemoryNode): void {
  node.mode &= (node.mode & GROUP_EXECUTE) === 0 ? ~S_ISUID : ~(S_ISUID | S_ISGID);
}
