/**
 * The just-in-time compiler of a vCPU: collects blocks whose headers have counted down, compiles them with their
 * neighbours to regions, many to a module, and puts each in the place of the headers of its blocks.
 *
 * Modules are few and large because each costs tens of microseconds and some memory, whatever is in it; and they are
 * given back oldest first, many at once, because what the garbage collector does for them is slow.
 */
import { PAGE_SIZE } from '../code-map.ts';
import type { Block } from '../code-pages.ts';
import { COMPILED, compiledAt } from '../interpreter/chain.ts';
import { headerOp } from '../interpreter/core.ts';
import { type MicroOpTable, REGION_GROUP } from '../interpreter/micro-op-table.ts';
import { RECORD, RECORD_SIZE } from '../interpreter/record.ts';
import { AREA, areaOf, CODE_PAGE_ENTRIES, CODE_PAGE_ENTRY, CODE_PAGE_ENTRY_SIZE, vcpuOf } from '../layout.ts';
import { codeSizeOf, MODE_BITS } from '../modes.ts';
import type { Semantics } from '../semantics/emit.ts';
import { CPU, SLOT } from '../state.ts';
import type { CpuState } from '../system/cpu-state.ts';
import { JumpCells } from './jump-cells.ts';
import type { KeptBlock, KeptCode, KeptContents, KeptModule } from './kept-code.ts';
import { Patience } from './patience.ts';
import { type DecodedCode, selectRegion, WAITING } from './region.ts';
import type { RecordSource } from './region-compiler.ts';
import { RegionModule } from './region-module.ts';

/**
 * Executions of a block before it is compiled; with each EPOCH that passes half of them are forgotten. Compiled code
 * is some ten times larger than records: what is executed only now and then is interpreted sooner than the host's
 * processor has fetched its compiled form from memory. Blocks that are executed at least once in 2 * EPOCH / threshold
 * instructions are few enough for the host's caches.
 */
export const DEFAULT_THRESHOLD = 2000;
/** Instructions of an epoch. */
export const EPOCH = 16_000_000;
/**
 * A guest that has settled does the same in larger circles than an epoch remembers: a request to a disk takes it some 20,000
 * instructions, one for a part of a folder 200,000, and its code for that is worth to be compiled, too. An epoch in which hardly anything was compiled (QUIET regions) makes the next one twice as long, up to this;
 * another one half as long, so that a guest that boots compiles no more than pays.
 */
const LONGEST_EPOCH = 1_024_000_000;
const QUIET = 32;
const PAGES_OF_4G = 2 ** 32 / PAGE_SIZE;
const MODES = (1 << MODE_BITS) - 1;
/** Regions that are compiled together, unless the queue is older than MAX_AGE looks at it. */
const BATCH = REGION_GROUP;
const MAX_AGE = 4;
/**
 * After so many executions of a block it is looked for in what earlier runs have compiled: nothing has to be compiled then,
 * but all blocks of the region must have been executed.
 */
const KEPT_LOOKS = [16, 128];
/** Modules that there are at most. */
const MAX_MODULES = 1024;

/** A compiled region. */
export interface Region {
  readonly blocks: readonly Block[];
  /** Where it is in the table. */
  readonly place: number;
  readonly batch: Batch;
}

/** Regions in one module. */
interface Batch {
  readonly regions: Set<Region>;
  /** Where the first of them is in the table. */
  readonly place: number;
  /** Of WebAssembly. */
  bytes: number;
  functions: Readonly<Record<string, CallableFunction>>;
  /** If it outlives the VM. */
  kept: KeptModule | undefined;
}

/** A block that is to be compiled, and the number of the linear page that it was executed in. */
interface Waiting {
  readonly block: Block;
  readonly page: number;
}

/** What a module needs besides its code: jump cells. */
type ModuleNeeds = Pick<RegionModule, 'cells' | 'ownTargets'>;

export class Jit implements DecodedCode, RecordSource {
  readonly view: DataView;
  readonly threshold: number;
  readonly #state: CpuState;
  readonly #ops: MicroOpTable;
  readonly #cells: JumpCells;
  /** Where AREA.regionBlocks is. */
  readonly #regionBlocks: number;
  readonly #headers = new Map<number, Block>();
  readonly #batches = new Set<Batch>();
  readonly #patience = new Patience();
  readonly #find: (page: number, key: number) => Block | undefined;
  readonly #kept: KeptCode | undefined;
  readonly #keptBatches = new Map<KeptModule, Batch>();
  #queue: Waiting[] = [];
  #age = 0;
  /** Instructions executed in this epoch, of how many, and regions compiled or taken over. */
  #instructions = 0;
  #epochLength = EPOCH;
  #compiled = 0;

  /**
   * `threshold`: executions of a block before it is compiled; 0 compiles everything that is executed. `find`: the block
   * of a guest physical page number and Block.key. `kept`: what earlier runs have compiled.
   */
  constructor(
    state: CpuState,
    ops: MicroOpTable,
    threshold: number,
    find: (page: number, key: number) => Block | undefined,
    kept?: KeptCode,
  ) {
    this.#kept = kept;
    this.#state = state;
    this.#find = find;
    this.#ops = ops;
    this.#cells = new JumpCells(state.view.buffer, state.block);
    this.#regionBlocks = areaOf(vcpuOf(state.block)) + AREA.regionBlocks;
    this.view = state.view;
    this.threshold = threshold;
  }

  get epoch(): number {
    return this.#state.u32(CPU.jitEpoch);
  }

  blockNear(page: number, offset: number, like: Block): Block | undefined {
    const pages = Math.floor(offset / PAGE_SIZE);
    const physical = pages === 0 ? like.page : this.#physicalPage(page + pages);
    if (physical === undefined) return undefined;
    return this.#find(physical, ((offset - pages * PAGE_SIZE) << MODE_BITS) | (like.key & MODES));
  }

  /** Guest physical page number of the code in a linear page, if it was executed lately (lookup.ts). */
  #physicalPage(page: number): number | undefined {
    const { words, block } = this.#state;
    const at = (areaOf(vcpuOf(block)) + AREA.codePages + (page % CODE_PAGE_ENTRIES) * CODE_PAGE_ENTRY_SIZE) >> 2;
    const high = Math.floor(page / PAGES_OF_4G);
    const tag = this.#state.u32(high >= 0x8000_0000 ? CPU.jumpTagHigh : CPU.jumpTagLow);
    const isKnown =
      words[at]! >>> 0 === page * PAGE_SIZE - high * 0x1_0000_0000 &&
      words[at + 1]! >>> 0 === high &&
      words[at + (CODE_PAGE_ENTRY.tag >> 2)]! >>> 0 === tag;
    return isKnown ? words[at + (CODE_PAGE_ENTRY.page >> 2)]! >>> 0 : undefined;
  }

  opName(record: number): string {
    return this.#ops.nameOf(this.view.getUint16(record + RECORD.op, true)) ?? '';
  }

  semantics(record: number): Semantics {
    return this.#ops.semanticsOf(this.view.getUint16(record + RECORD.op, true));
  }

  /** A block has been decoded. */
  add(block: Block): void {
    this.#headers.set(block.record, block);
    this.#startCounting(block);
  }

  /** The header of a block has counted down. Gives the record to go on with. */
  hot(record: number): number {
    const block = this.#headers.get(record);
    this.view.setInt32(record + RECORD.imm, WAITING, true);
    if (block === undefined) return record + RECORD_SIZE;
    const page = this.#currentPage();
    if (this.#enterKept(block, page)) return record;
    if (this.#countOn(block)) return record + RECORD_SIZE;
    if (this.threshold > 0 && this.#patience.sendsBack(block.page)) {
      this.#startCounting(block);
      return record + RECORD_SIZE;
    }
    if (this.#queue.length === 0) this.#age = 0;
    this.#queue.push({ block, page });
    if (this.#queue.length < BATCH && this.threshold > 0) return record + RECORD_SIZE;
    this.compileQueue();
    return block.region === undefined ? record + RECORD_SIZE : record;
  }

  /** To be called now and then, with the instructions executed since: compiles what has waited for some time. */
  look(instructions: number): void {
    this.#instructions += instructions;
    if (this.#instructions >= this.#epochLength) this.#nextEpoch();
    if (this.#queue.length > 0 && ++this.#age >= MAX_AGE) this.compileQueue();
  }

  #nextEpoch(): void {
    const length = this.#epochLength;
    this.#epochLength = this.#compiled < QUIET ? Math.min(2 * length, LONGEST_EPOCH) : Math.max(length / 2, EPOCH);
    this.#instructions = 0;
    this.#compiled = 0;
    this.#state.setU32(CPU.jitEpoch, this.epoch + 1);
  }

  compileQueue(): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#makeRoom();
    const module = new RegionModule(this, this.#state.block);
    const batch = this.#newBatch();
    const chosen: Region[] = [];
    const described: KeptBlock[][] = [];
    for (const { block, page } of queue) {
      if (block.region !== undefined || this.#headers.get(block.record) !== block) continue;
      const members = selectRegion(this, block, page);
      const blocks = members.map((member) => member.block);
      const region = { blocks, place: batch.place + chosen.length, batch };
      module.add(members, codeSizeOf(block.key & MODES) === 8);
      if (this.#kept !== undefined) described.push(this.#kept.describe(members));
      // It has its blocks before it is entered, so that the next regions only copy them.
      hold(region);
      chosen.push(region);
    }
    if (chosen.length === 0) {
      this.#ops.releaseGroup(batch.place);
      return;
    }
    const bytes = module.encode();
    const compiled = new WebAssembly.Module(bytes);
    if (this.#kept !== undefined) {
      const { cells, ownTargets } = module;
      batch.kept = { bytes, cells, ownTargets, regions: described, code: undefined, optimized: 0 };
      this.#kept.add(batch.kept);
    }
    this.#addBatch(batch, compiled, bytes.length, module);
    for (const region of chosen) this.#enter(region);
    this.#compiled += chosen.length;
    this.#state.count(CPU.jitCompiled, chosen.length);
  }

  /** Takes over a region around a block that an earlier run has compiled, if there is one. */
  #enterKept(block: Block, page: number): boolean {
    const kept = this.#kept;
    if (kept === undefined || !kept.knows(block)) return false;
    const isFree = (module: KeptModule, region: number) => {
      const batch = this.#keptBatches.get(module);
      return batch === undefined || [...batch.regions].every(({ place }) => place !== batch.place + region);
    };
    const found = kept.find(block, page, this, isFree);
    const batch = found && this.#batchOf(kept, found.module);
    if (batch === undefined) return false;
    const region = { blocks: found!.blocks, place: batch.place + found!.region, batch };
    hold(region);
    this.#enter(region);
    this.#compiled++;
    this.#state.count(CPU.jitKept);
    return true;
  }

  /** The batch of a module that earlier runs have compiled; undefined if it cannot be used. */
  #batchOf(kept: KeptCode, module: KeptModule): Batch | undefined {
    const known = this.#keptBatches.get(module);
    if (known !== undefined) return known;
    this.#makeRoom();
    const compiled = kept.load(module);
    if (compiled === undefined) return undefined;
    const batch = this.#newBatch();
    batch.kept = module;
    this.#addBatch(batch, compiled, module.bytes.length, module);
    return batch;
  }

  /** What was compiled, for other runs; undefined if that is nothing new. */
  get kept(): KeptContents | undefined {
    const kept = this.#kept?.take();
    return kept && { ...kept, operations: this.#ops.modules };
  }

  /** A block's code was overwritten. */
  forget(block: Block): void {
    this.#headers.delete(block.record);
    const { region } = block;
    const regions = region === undefined ? block.copies : [region, ...block.copies];
    if (regions.length === 0) return;
    this.#patience.changed(block.page);
    this.#state.count(CPU.jitInvalidated, regions.length);
    for (const some of [...regions]) this.#drop(some);
    this.#state.setU32(CPU.codeChanged, 1);
  }

  /** All decoded code is dropped. */
  clear(): void {
    this.#headers.clear();
    for (const batch of this.#batches) {
      this.#state.count(CPU.jitDropped, batch.regions.size);
      for (const region of batch.regions) this.#drop(region);
    }
    this.#patience.clear();
    this.#queue = [];
    this.#state.setU32(CPU.codeChanged, 1);
  }

  #newBatch(): Batch {
    const place = this.#ops.reserveGroup();
    return { regions: new Set(), place, bytes: 0, functions: {}, kept: undefined };
  }

  #addBatch(batch: Batch, module: WebAssembly.Module, bytes: number, { cells, ownTargets }: ModuleNeeds): void {
    batch.bytes = bytes;
    const firstCell = this.#cells.take(cells);
    this.#cells.setTargets(firstCell, cells, ownTargets, (region, block) => compiledAt(batch.place + region, block));
    batch.functions = this.#ops.instantiate(module, { firstBlock: compiledAt(batch.place, 0), firstCell });
    if (batch.kept !== undefined) {
      this.#kept!.use(batch.kept, { module, functions: Object.values(batch.functions) });
      this.#keptBatches.set(batch.kept, batch);
    }
    this.#batches.add(batch);
    this.#state.count(CPU.jitModules);
    this.#state.count(CPU.jitBytes, batch.bytes);
  }

  #removeBatch(batch: Batch): void {
    this.#batches.delete(batch);
    if (batch.kept !== undefined) {
      this.#keptBatches.delete(batch.kept);
      this.#kept!.release(batch.kept);
    }
    this.#ops.releaseGroup(batch.place);
    this.#state.count(CPU.jitModules, -1);
    this.#state.count(CPU.jitBytes, -batch.bytes);
  }

  #enter(region: Region): void {
    const { batch, place } = region;
    batch.regions.add(region);
    this.#ops.setRegion(place, batch.functions[RegionModule.nameOf(place - batch.place)]!);
    this.#state.count(CPU.jitRegions);
    const number = this.#ops.regionNumber(place);
    region.blocks.forEach((block, entry) => {
      this.#setHeader(region, entry, block.record);
      if (block.region !== region) return;
      this.view.setUint16(block.record + RECORD.op, number, true);
      this.view.setInt32(block.record + RECORD.imm, entry, true);
    });
  }

  /** Says where the block that is number `entry` of a region begins (chain.ts). */
  #setHeader({ place }: Region, entry: number, record: number): void {
    this.view.setUint32(this.#regionBlocks + ((compiledAt(place, entry) - COMPILED) << 2), record, true);
  }

  #drop(region: Region): void {
    const { batch } = region;
    batch.regions.delete(region);
    this.#state.count(CPU.jitRegions, -1);
    if (batch.regions.size === 0) this.#removeBatch(batch);
    this.#ops.removeRegion(region.place);
    this.#state.tlb.flushJumps();
    region.blocks.forEach((block, entry) => {
      this.#setHeader(region, entry, 0);
      if (block.region !== region) {
        block.copies.splice(block.copies.indexOf(region), 1);
        return;
      }
      block.region = undefined;
      if (this.#headers.has(block.record)) this.#startCounting(block);
    });
  }

  #startCounting(block: Block): void {
    this.view.setUint16(block.record + RECORD.op, headerOp(), true);
    const first = KEPT_LOOKS[0]!;
    const full = first < this.threshold && this.#kept?.knows(block) === true ? first : this.threshold;
    this.view.setUint32(block.record + RECORD.full, full, true);
    this.view.setUint32(block.record + RECORD.epoch, this.epoch, true);
    this.view.setInt32(block.record + RECORD.imm, full, true);
  }

  /** Counts on to the next look at what is kept, or to the block's compilation; false: it is time for that. */
  #countOn(block: Block): boolean {
    const before = this.view.getUint32(block.record + RECORD.full, true);
    if (before >= this.threshold) return false;
    const full = Math.min(KEPT_LOOKS.find((look) => look > before) ?? this.threshold, this.threshold);
    this.view.setUint32(block.record + RECORD.full, full, true);
    this.view.setInt32(block.record + RECORD.imm, full - before, true);
    return true;
  }

  /** Number of the linear page that is executed. */
  #currentPage(): number {
    const low = this.#state.u32(SLOT.page);
    const high = this.#state.u32(SLOT.page + 4);
    return high * PAGES_OF_4G + Math.floor(low / PAGE_SIZE);
  }

  /** Gives back the older half when there are too many. */
  #makeRoom(): void {
    if (this.#batches.size < MAX_MODULES && this.#ops.freeGroups > 0) return;
    const oldest = [...this.#batches].slice(0, Math.ceil(this.#batches.size / 2));
    for (const batch of oldest) {
      this.#state.count(CPU.jitDropped, batch.regions.size);
      for (const region of batch.regions) this.#drop(region);
    }
  }
}

/** The blocks that are in no region yet get this one for their own. */
function hold(region: Region): void {
  for (const block of region.blocks) {
    if (block.region === undefined) block.region = region;
    else block.copies.push(region);
  }
}
