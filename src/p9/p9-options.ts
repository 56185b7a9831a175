/** How a folder is shared. */
export interface P9Options {
  /** Names are found in whatever case their ASCII letters are. */
  readonly asciiCasefold: boolean;
  /** The client may only read. */
  readonly readOnly: boolean;
}

export const DEFAULT_P9_OPTIONS: P9Options = { asciiCasefold: false, readOnly: false };
