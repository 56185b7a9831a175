/** What an image may make us do. An image is a stranger's: by default, little. */
export interface ImageTrust {
  /** Open backing files and parts that are not in the image's folder or below. */
  readonly outside: boolean;
  /** Guess the format of a backing file where the image does not say it. */
  readonly probe: boolean;
  /** Open an external data file. */
  readonly dataFile: boolean;
}

export const NO_TRUST: ImageTrust = { outside: false, probe: false, dataFile: false };
export const TRUST_WORDS = ['outside', 'probe', 'data-file'] as const;

/** What users grant with these words. */
export function trustOf(words: readonly (typeof TRUST_WORDS)[number][]): ImageTrust {
  return {
    outside: words.includes('outside'),
    probe: words.includes('probe'),
    dataFile: words.includes('data-file'),
  };
}
