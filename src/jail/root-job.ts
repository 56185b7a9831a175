/** What the root of a device process is to be. */
export interface RootJob {
  /** A folder of the host; an empty one in memory if it is not given. */
  readonly root?: string | undefined;
  /** Folders of the host that are to be in it. */
  readonly folders: readonly string[];
}
