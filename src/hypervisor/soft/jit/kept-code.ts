/**
 * Compiled regions that outlive the VM: what was compiled of some code in one run serves whatever run meets the same code
 * again, which for kernels is each boot. A region is known by what the compiler reads of its blocks, all of which must be
 * the same, bit for bit; hashes only say where to look. So nothing that another guest had compiled is ever executed
 * instead of anything else than the same code.
 */
import type { WasmCode } from '../../../base/wasm-code.ts';
import type { Block } from '../code-pages.ts';
import { RECORD, RECORD_SIZE } from '../interpreter/record.ts';
import { MODE_BITS } from '../modes.ts';
import type { OwnTarget } from './jump-cells.ts';
import { type DecodedCode, isDirectJump, type Member, pageOf } from './region.ts';

/** A block of a region as it was when it was compiled. */
export interface KeptBlock {
  /** As in Member. */
  readonly at: number;
  /** MODE bits that it was decoded in. */
  readonly modes: number;
  /** The header led to another region. */
  readonly isCopy: boolean;
  /** Its records but the header, four words each, as KeptCode writes them. */
  readonly records: Int32Array;
}

/** A module of regions, with what V8 made of it. */
export interface KeptModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Jump cells that it needs. */
  readonly cells: number;
  readonly ownTargets: readonly OwnTarget[];
  /** By the numbers under which the module exports them. */
  readonly regions: readonly (readonly KeptBlock[])[];
  /** Undefined until V8 has optimized something. */
  code: Uint8Array<ArrayBuffer> | undefined;
  /** How many functions are optimized in `code`. */
  optimized: number;
}

/** What a file holds. */
export interface KeptContents {
  /** WebAssembly of cold micro-operations, by name. */
  readonly operations: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Names of micro-operations, by the numbers that records have for them. */
  readonly names: readonly string[];
  readonly modules: readonly KeptModule[];
}

/** Where a block is in what is kept. */
interface Place {
  readonly module: KeptModule;
  readonly region: number;
  readonly block: number;
}

/** A region whose blocks the guest has now. */
export interface FoundRegion {
  readonly module: KeptModule;
  /** Its number in the module. */
  readonly region: number;
  readonly blocks: readonly Block[];
}

/** A module in use. */
interface Live {
  readonly module: WebAssembly.Module;
  readonly functions: readonly CallableFunction[];
}

/** What is kept at most, in bytes of code and of WebAssembly. */
export const MAX_KEPT = 24 << 20;

const MODES = (1 << MODE_BITS) - 1;
const WORDS = RECORD_SIZE >> 2;
/** The word of a record that a direct jump has its link in. */
const LINK = RECORD.link >> 2;
const PRIME = 0x01000193;
/** Words of a block's records that its hash is made of: every block that is decoded gets one. */
const HASHED = 4 * WORDS;

export class KeptCode {
  readonly #wasm: WasmCode;
  readonly #words: Int32Array;
  readonly #nameOf: (op: number) => string | undefined;
  /** Numbers of names of micro-operations, and which of them are direct jumps. */
  readonly #names = new Map<string, number>();
  readonly #isJump: boolean[] = [];
  /** By the number of a micro-operation in records: that of its name. */
  readonly #numbers: number[] = [];
  readonly #places = new Map<number, Place[]>();
  /** Those of earlier runs, then those that this one has compiled. */
  #modules: KeptModule[];
  readonly #used = new Set<KeptModule>();
  readonly #live = new Map<KeptModule, Live>();
  #size = 0;
  #isNew = false;

  /** `words`: the WebAssembly memory. `nameOf`: the name of the micro-operation that a record has this number for. */
  constructor(wasm: WasmCode, words: Int32Array, nameOf: (op: number) => string | undefined, contents?: KeptContents) {
    this.#wasm = wasm;
    this.#words = words;
    this.#nameOf = nameOf;
    for (const name of contents?.names ?? []) this.#numberOf(name);
    this.#modules = [...(contents?.modules ?? [])];
    for (const module of this.#modules) {
      this.#size += sizeOf(module);
      for (const [region, blocks] of module.regions.entries()) this.#index(module, region, blocks);
    }
  }

  /** Whether a region with such a block may be kept. */
  knows(block: Block): boolean {
    return this.#places.size > 0 && this.#places.has(this.#hashOf(block));
  }

  /**
   * A region around a block in linear page number `page`: all of its blocks are decoded.
   * `isFree`: whether the module's region of this number is not in use.
   */
  find(
    block: Block,
    page: number,
    code: DecodedCode,
    isFree: (module: KeptModule, region: number) => boolean,
  ): FoundRegion | undefined {
    for (const { module, region, block: index } of this.#places.get(this.#hashOf(block)) ?? []) {
      if (!isFree(module, region)) continue;
      const kept = module.regions[region]!;
      const here = pageOf(kept[index]!.at);
      const blocks = kept.map((other) => this.#blockLike(other, code.blockNear(page, other.at - here, block)));
      if (blocks.every((found) => found !== undefined)) return { module, region, blocks };
    }
    return undefined;
  }

  /** The module, compiled; undefined if this V8 cannot use it. */
  load(kept: KeptModule): WebAssembly.Module | undefined {
    const module = kept.code === undefined ? undefined : this.#wasm.load(kept.bytes, kept.code);
    if (module === undefined) this.#forget(kept);
    return module;
  }

  /** What the compiler is given to make a region of. */
  describe(members: readonly Member[]): KeptBlock[] {
    return members.map(({ block, at }) => {
      const isCopy = block.region !== undefined;
      return { at, modes: block.key & MODES, isCopy, records: this.#copy(block) };
    });
  }

  /** A module has been compiled. */
  add(kept: KeptModule): void {
    this.#modules.push(kept);
    this.#size += sizeOf(kept);
  }

  /** A module is in use from now on. */
  use(kept: KeptModule, live: Live): void {
    this.#used.add(kept);
    this.#live.set(kept, live);
  }

  /** A module is in use no more: what V8 has made of it is kept, if there is room. */
  release(kept: KeptModule): void {
    this.#harvest(kept);
    this.#live.delete(kept);
    if (kept.code === undefined || this.#size > MAX_KEPT) this.#forget(kept);
  }

  /** What is worth to be kept for other runs; undefined if that is what was there. */
  take(): Omit<KeptContents, 'operations'> | undefined {
    for (const kept of this.#live.keys()) this.#harvest(kept);
    if (!this.#isNew) return undefined;
    const isUsed = (kept: KeptModule) => this.#used.has(kept);
    const worth = this.#modules.filter(({ code }) => code !== undefined);
    let size = 0;
    const modules = [...worth.filter(isUsed), ...worth.filter((kept) => !isUsed(kept))].filter(
      (kept) => (size += sizeOf(kept)) <= MAX_KEPT,
    );
    return { names: [...this.#names.keys()], modules };
  }

  /** Takes over what V8 has optimized since. */
  #harvest(kept: KeptModule): void {
    const { module, functions } = this.#live.get(kept)!;
    const optimized = this.#wasm.optimized(functions);
    if (optimized <= kept.optimized) return;
    this.#size -= sizeOf(kept);
    kept.code = this.#wasm.save(module, functions);
    kept.optimized = optimized;
    this.#size += sizeOf(kept);
    this.#isNew = true;
  }

  #forget(kept: KeptModule): void {
    this.#modules = this.#modules.filter((other) => other !== kept);
    this.#used.delete(kept);
    this.#size -= sizeOf(kept);
    for (const hash of kept.regions.flat().map(hashOf)) {
      const left = this.#places.get(hash)?.filter(({ module }) => module !== kept) ?? [];
      if (left.length > 0) this.#places.set(hash, left);
      else this.#places.delete(hash);
    }
  }

  #index(module: KeptModule, region: number, blocks: readonly KeptBlock[]): void {
    for (const [block, kept] of blocks.entries()) {
      if (kept.isCopy) continue;
      const hash = hashOf(kept);
      const places = this.#places.get(hash);
      if (places === undefined) this.#places.set(hash, [{ module, region, block }]);
      else places.push({ module, region, block });
    }
  }

  #hashOf(block: Block): number {
    const first = (block.record + RECORD_SIZE) >> 2;
    const length = (block.recordEnd >> 2) - first;
    let hash = (block.key & MODES) + length;
    for (let i = 0; i < Math.min(length, HASHED); i++) {
      hash = Math.imul(hash ^ this.#word(first + (i & -WORDS), i % WORDS), PRIME);
    }
    return hash;
  }

  #copy(block: Block): Int32Array {
    const first = (block.record + RECORD_SIZE) >> 2;
    const records = new Int32Array((block.recordEnd >> 2) - first);
    for (let i = 0; i < records.length; i++) records[i] = this.#word(first + (i & -WORDS), i % WORDS);
    return records;
  }

  /** `block`, if it is as `kept` was. */
  #blockLike(kept: KeptBlock, block: Block | undefined): Block | undefined {
    if (block === undefined) return undefined;
    const first = (block.record + RECORD_SIZE) >> 2;
    const { records } = kept;
    if (records.length !== (block.recordEnd >> 2) - first || kept.modes !== (block.key & MODES)) return undefined;
    for (let i = 0; i < records.length; i++) {
      if (records[i] !== this.#word(first + (i & -WORDS), i % WORDS)) return undefined;
    }
    return block;
  }

  /**
   * A word of the record at `at`, without what differs from run to run: the number of its micro-operation, and where a
   * direct jump has found its target.
   */
  #word(at: number, word: number): number {
    const value = this.#words[at + word]!;
    if (word === 0) return (value & ~0xffff) | this.#numberOfOp(value & 0xffff);
    if (word !== LINK) return value;
    return this.#isJump[this.#numberOfOp(this.#words[at]! & 0xffff)]! ? 0 : value;
  }

  #numberOfOp(op: number): number {
    this.#numbers[op] ??= this.#numberOf(this.#nameOf(op) ?? '');
    return this.#numbers[op];
  }

  #numberOf(name: string): number {
    let number = this.#names.get(name);
    if (number === undefined) {
      number = this.#names.size;
      this.#names.set(name, number);
      this.#isJump.push(isDirectJump(name));
    }
    return number;
  }
}

/** As KeptCode computes it of the block itself. */
function hashOf({ modes, records }: KeptBlock): number {
  return records.subarray(0, HASHED).reduce((sum, word) => Math.imul(sum ^ word, PRIME), modes + records.length);
}

function sizeOf({ bytes, code }: KeptModule): number {
  return bytes.length + (code?.length ?? 0);
}
