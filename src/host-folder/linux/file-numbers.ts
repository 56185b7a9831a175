/** How many values the upper 16 bits of a number have. */
const SHORT_HIGH = 1 << 16;
/** The usual case: the folder's own file system, which is the first device, and a number below 2^48. */
const OWN = 0;
/** Prefixes that there are: the uppermost bit says that a number is hashed. */
const MAX_PREFIXES = 1 << 15;
const HASHED = 0x8000_0000;

/** What has the number of a file, 64 bits in two halves. */
interface Numbered {
  inoLow: number;
  inoHigh: number;
}

/**
 * What clients know files by: a folder of the host may span several file systems, which number their files independently
 * of each other, but for clients it is one. The lower 48 bits of a number stay; those above become a prefix for the file system
 * and them, in the order in which they are met. So numbers of the folder's own file system are mostly the host's.
 */
export class FileNumbers {
  /** By index of the device and the upper 16 bits. */
  readonly #prefixes = new Map([[OWN, 0]]);
  readonly #max: number;

  /** `max`: how many prefixes there are; the files beyond are told apart by 63 bits of a hash. */
  constructor(max = MAX_PREFIXES) {
    this.#max = max;
  }

  /** Makes the number of a file on a device (an index below 2048) its number for clients. */
  replace(device: number, file: Numbered): void {
    const key = device * SHORT_HIGH + (file.inoHigh >>> 16);
    if (key === OWN) return;
    const prefix = this.#prefixOf(key);
    if (prefix >= 0) file.inoHigh = ((prefix << 16) | (file.inoHigh & 0xffff)) >>> 0;
    else hash(device, file);
  }

  /** -1 when there is none any more. */
  #prefixOf(key: number): number {
    const known = this.#prefixes.get(key);
    if (known !== undefined) return known;
    const next = this.#prefixes.size;
    if (next === this.#max) return -1;
    this.#prefixes.set(key, next);
    return next;
  }
}

function hash(device: number, file: Numbered): void {
  const low = mix(mix(file.inoLow ^ device) ^ file.inoHigh);
  file.inoHigh = (HASHED | mix(mix(file.inoHigh ^ low) ^ file.inoLow)) >>> 0;
  file.inoLow = low >>> 0;
}

/** Each bit of the result depends on each of a word (MurmurHash3's last step). */
function mix(word: number): number {
  let x = Math.imul(word ^ (word >>> 16), 0x85eb_ca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
  return x ^ (x >>> 16);
}
