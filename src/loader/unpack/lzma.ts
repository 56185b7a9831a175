import { UnpackError } from './unpack-error.ts';

const STATES = 12;
const POSITION_STATES_MAX = 16;
const MIN_MATCH = 2;
const PROBABILITY_INIT = 1024;
const TOP = 1 << 24;

/** Offsets of the groups of probabilities in one array; all bit models of the decoder live there. */
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POSITION_STATES_MAX;
const IS_REP0 = IS_REP + STATES;
const IS_REP1 = IS_REP0 + STATES;
const IS_REP2 = IS_REP1 + STATES;
const IS_REP0_LONG = IS_REP2 + STATES;
const DISTANCE_SLOT = IS_REP0_LONG + STATES * POSITION_STATES_MAX;
const DISTANCE_SPECIAL = DISTANCE_SLOT + 4 * 64;
const DISTANCE_ALIGN = DISTANCE_SPECIAL + 128;
const LENGTH_MATCH = DISTANCE_ALIGN + 16;
/** A length coder: two choice bits, low and mid trees of 8 for each position state, one high tree of 256. */
const LENGTH_LOW = 2;
const LENGTH_MID = LENGTH_LOW + POSITION_STATES_MAX * 8;
const LENGTH_HIGH = LENGTH_MID + POSITION_STATES_MAX * 8;
const LENGTH_SIZE = LENGTH_HIGH + 256;
const LENGTH_REP = LENGTH_MATCH + LENGTH_SIZE;
const LITERAL = LENGTH_REP + LENGTH_SIZE;
const LITERAL_SIZE = 0x300;
/** LZMA2 allows lc + lp <= 4. */
const PROBABILITIES = LITERAL + (LITERAL_SIZE << 4);

/**
 * An LZMA decoder as LZMA2 needs it: state and probabilities survive from chunk to chunk, and the output array is the
 * dictionary. Range and code are kept as signed 32-bit integers, which the engine holds without a heap number.
 */
export class LzmaDecoder {
  readonly #probabilities = new Uint16Array(PROBABILITIES);
  readonly #output: Uint8Array;
  #input: Uint8Array;
  #at = 0;
  #range = 0;
  #code = 0;
  #filled = 0;
  /** Where the dictionary starts in the output: matches must not reach before it. */
  #dictionaryStart = 0;
  #state = 0;
  #rep0 = 0;
  #rep1 = 0;
  #rep2 = 0;
  #rep3 = 0;
  #literalContextBits = 0;
  #literalPositionMask = 0;
  #positionMask = 0;

  constructor(input: Uint8Array, output: Uint8Array) {
    this.#input = input;
    this.#output = output;
  }

  /** Bytes of output made so far. */
  get filled(): number {
    return this.#filled;
  }

  /** Forgets what has been put out: nothing before here can be matched. */
  resetDictionary(): void {
    this.#dictionaryStart = this.#filled;
  }

  /** Sets lc, lp and pb from their common byte (pb * 45 + lp * 9 + lc). */
  setProperties(byte: number): void {
    const lc = byte % 9;
    const lp = Math.floor(byte / 9) % 5;
    const pb = Math.floor(byte / 45);
    if (pb > 4 || lc + lp > 4) throw new UnpackError(`bad LZMA properties ${byte}`);
    this.#literalContextBits = lc;
    this.#literalPositionMask = (1 << lp) - 1;
    this.#positionMask = (1 << pb) - 1;
  }

  resetState(): void {
    this.#probabilities.fill(PROBABILITY_INIT);
    this.#state = 0;
    this.#rep0 = this.#rep1 = this.#rep2 = this.#rep3 = 0;
  }

  /** Copies a chunk that is stored as it is. */
  copy(from: number, length: number): void {
    if (length > this.#output.length - this.#filled) throw tooMuch();
    this.#output.set(this.#input.subarray(from, from + length), this.#filled);
    this.#filled += length;
  }

  /** Decodes a chunk of exactly `length` bytes from input[from, to). */
  decode(from: number, to: number, length: number): void {
    if (length > this.#output.length - this.#filled) throw tooMuch();
    this.#start(from, to);
    const end = this.#filled + length;
    const probabilities = this.#probabilities;
    while (this.#filled < end) {
      const positionState = (this.#filled - this.#dictionaryStart) & this.#positionMask;
      const state = this.#state;
      if (this.#bit(probabilities, IS_MATCH + state * POSITION_STATES_MAX + positionState) === 0) {
        this.#literal(probabilities);
      } else {
        this.#match(probabilities, state, positionState, end);
      }
      // Reads past the end give zeros; a chunk that needed them is broken.
      if (this.#at > to) throw new UnpackError('an LZMA2 chunk ends early');
    }
    this.#normalize();
    if (this.#at !== to || this.#code !== 0) throw new UnpackError('an LZMA2 chunk does not end where it should');
  }

  #start(from: number, to: number): void {
    if (to - from < 5) throw new UnpackError('an LZMA2 chunk is too short');
    const input = this.#input;
    if (input[from] !== 0) throw new UnpackError('an LZMA2 chunk does not begin with a zero byte');
    this.#range = -1;
    this.#code = (input[from + 1]! << 24) | (input[from + 2]! << 16) | (input[from + 3]! << 8) | input[from + 4]!;
    this.#at = from + 5;
  }

  #normalize(): void {
    if (this.#range >>> 0 < TOP) {
      this.#range <<= 8;
      this.#code = (this.#code << 8) | this.#next();
    }
  }

  #next(): number {
    const at = this.#at++;
    return at < this.#input.length ? this.#input[at]! : 0;
  }

  /** One bit with the adaptive probability `index`. */
  #bit(probabilities: Uint16Array, index: number): number {
    let range = this.#range >>> 0;
    let code = this.#code >>> 0;
    if (range < TOP) {
      range = (range << 8) >>> 0;
      code = ((code << 8) | this.#next()) >>> 0;
    }
    const p = probabilities[index]!;
    const bound = Math.imul(range >>> 11, p) >>> 0;
    if (code < bound) {
      this.#range = bound | 0;
      this.#code = code | 0;
      probabilities[index] = p + ((2048 - p) >> 5);
      return 0;
    }
    this.#range = (range - bound) | 0;
    this.#code = (code - bound) | 0;
    probabilities[index] = p - (p >> 5);
    return 1;
  }

  /** `bits` bits, highest first, by a tree of probabilities at `base`. */
  #tree(probabilities: Uint16Array, base: number, bits: number): number {
    let node = 1;
    for (let i = 0; i < bits; i++) node = (node << 1) | this.#bit(probabilities, base + node);
    return node - (1 << bits);
  }

  #reverseTree(probabilities: Uint16Array, base: number, bits: number): number {
    let node = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.#bit(probabilities, base + node);
      node = (node << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  /** `count` bits of even chance. */
  #directBits(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) {
      this.#normalize();
      const half = this.#range >>> 1;
      const below = this.#code >>> 0 < half;
      if (!below) this.#code = (this.#code - half) | 0;
      this.#range = half;
      value = (value << 1) | (below ? 0 : 1);
    }
    return value;
  }

  #literal(probabilities: Uint16Array): void {
    const output = this.#output;
    const filled = this.#filled;
    const position = filled - this.#dictionaryStart;
    const before = position > 0 ? output[filled - 1]! : 0;
    const lc = this.#literalContextBits;
    const context = ((position & this.#literalPositionMask) << lc) | (before >> (8 - lc));
    const base = LITERAL + context * LITERAL_SIZE;
    let symbol = 1;
    if (this.#state >= 7) {
      // After a match, the byte that would have continued it helps to guess.
      if (this.#rep0 >= position) throw beforeStart();
      let matched = output[filled - this.#rep0 - 1]!;
      while (symbol < 0x100) {
        const expected = (matched >> 7) & 1;
        matched <<= 1;
        const bit = this.#bit(probabilities, base + ((1 + expected) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (bit !== expected) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(probabilities, base + symbol);
    output[filled] = symbol;
    this.#filled = filled + 1;
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  #match(probabilities: Uint16Array, state: number, positionState: number, end: number): void {
    let length = 1;
    if (this.#bit(probabilities, IS_REP + state) === 0) {
      this.#rep3 = this.#rep2;
      this.#rep2 = this.#rep1;
      this.#rep1 = this.#rep0;
      length = this.#length(probabilities, LENGTH_MATCH, positionState);
      this.#rep0 = this.#distance(probabilities, length);
      this.#state = state < 7 ? 7 : 10;
    } else if (this.#repeated(probabilities, state, positionState)) {
      length = this.#length(probabilities, LENGTH_REP, positionState);
      this.#state = state < 7 ? 8 : 11;
    } else {
      this.#state = state < 7 ? 9 : 11;
    }
    this.#copyMatch(length, end);
  }

  /** Chooses among the last four distances; false for a single byte at the last one ("short rep"). */
  #repeated(probabilities: Uint16Array, state: number, positionState: number): boolean {
    if (this.#bit(probabilities, IS_REP0 + state) === 0) {
      return this.#bit(probabilities, IS_REP0_LONG + state * POSITION_STATES_MAX + positionState) === 1;
    }
    let distance = this.#rep1;
    if (this.#bit(probabilities, IS_REP1 + state) === 1) {
      if (this.#bit(probabilities, IS_REP2 + state) === 0) {
        distance = this.#rep2;
      } else {
        distance = this.#rep3;
        this.#rep3 = this.#rep2;
      }
      this.#rep2 = this.#rep1;
    }
    this.#rep1 = this.#rep0;
    this.#rep0 = distance;
    return true;
  }

  #length(probabilities: Uint16Array, base: number, positionState: number): number {
    if (this.#bit(probabilities, base) === 0) {
      return MIN_MATCH + this.#tree(probabilities, base + LENGTH_LOW + positionState * 8, 3);
    }
    if (this.#bit(probabilities, base + 1) === 0) {
      return MIN_MATCH + 8 + this.#tree(probabilities, base + LENGTH_MID + positionState * 8, 3);
    }
    return MIN_MATCH + 16 + this.#tree(probabilities, base + LENGTH_HIGH, 8);
  }

  /** A distance less one, unsigned; the end marker's 0xffffffff reaches before any data and fails there. */
  #distance(probabilities: Uint16Array, length: number): number {
    const slot = this.#tree(probabilities, DISTANCE_SLOT + Math.min(length - MIN_MATCH, 3) * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const base = ((2 | (slot & 1)) << bits) >>> 0;
    if (slot < 14) return base + this.#reverseTree(probabilities, DISTANCE_SPECIAL + base - slot, bits);
    const middle = (this.#directBits(bits - 4) << 4) >>> 0;
    return base + middle + this.#reverseTree(probabilities, DISTANCE_ALIGN, 4);
  }

  #copyMatch(length: number, end: number): void {
    const output = this.#output;
    const filled = this.#filled;
    const distance = this.#rep0 + 1;
    if (distance > filled - this.#dictionaryStart) throw beforeStart();
    if (length > end - filled) throw new UnpackError('an LZMA2 match is longer than its chunk');
    for (let n = 0; n < length; n++) output[filled + n] = output[filled + n - distance]!;
    this.#filled = filled + length;
  }
}

function tooMuch(): UnpackError {
  return new UnpackError('the xz data unpacks to more than it announces');
}

function beforeStart(): UnpackError {
  return new UnpackError('an LZMA2 match reaches before the data');
}
