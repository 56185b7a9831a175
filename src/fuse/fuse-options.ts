/** How a folder is shared. */
export interface FuseOptions {
  /**
   * What the guest may remember: nothing; attributes and names for a while, data while the file's times say that it is the
   * same; all of that even then.
   */
  readonly cache: 'never' | 'auto' | 'always';
  /** For how long it remembers names and attributes, in seconds. */
  readonly timeout: number;
  /** For how long it remembers that there is no file of some name, in seconds. */
  readonly negativeTimeout: number;
  /** The guest keeps what it writes, and writes it later. */
  readonly writeback: boolean;
  readonly posixAcl: boolean;
  /** Names are found in whatever case their ASCII letters are. */
  readonly asciiCasefold: boolean;
  /** New files get the security label that the guest gives them. */
  readonly securityContext: boolean;
  /** Locks are the folder's, and count for others, too; else the guest keeps them to itself. */
  readonly hostLocks: boolean;
  /** The guest may only read. */
  readonly readOnly: boolean;
}

export const DEFAULT_FUSE_OPTIONS: FuseOptions = {
  cache: 'auto',
  timeout: 1,
  negativeTimeout: 0,
  writeback: false,
  posixAcl: true,
  asciiCasefold: false,
  securityContext: true,
  hostLocks: true,
  readOnly: false,
};
