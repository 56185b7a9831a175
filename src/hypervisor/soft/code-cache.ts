/**
 * Decoded code of one vCPU: blocks of micro-operation records, found by the guest physical address of their code and
 * the mode they were decoded in.
 *
 * Blocks are never moved. One whose bytes were overwritten stays where it is, with the first record of each of its
 * instructions turned into `stale`, which looks the address up again: so a loop inside it needs no repair, and neither
 * does the jump cache.
 * When the space is used up everything is dropped at once.
 */
import type { WasmCode } from '../../base/wasm-code.ts';
import { BlockTable } from './block-table.ts';
import { PAGE_SIZE } from './code-map.ts';
import { type Block, CodePages } from './code-pages.ts';
import { CodeSnapshot } from './code-snapshot.ts';
import { CodeSums, PIECE_SIZE } from './code-sums.ts';
import { DECODE_INVALID, DECODE_MORE, DECODE_TOO_LONG, decode } from './decode/decode.ts';
import { Insn } from './decode/insn.ts';
import { OP } from './decode/opcodes.ts';
import type { MicroOpTable } from './interpreter/micro-op-table.ts';
import { FIRST, LAST, NO_LINK, RECORD, RECORD_SIZE, UNRESOLVED } from './interpreter/record.ts';
import { DEFAULT_THRESHOLD, Jit } from './jit/jit.ts';
import { KeptCode, type KeptContents } from './jit/kept-code.ts';
import { AREA, areaOf, CODE_SIZE, JUMP_ENTRIES, JUMP_ENTRY_SIZE } from './layout.ts';
import { ruleFor } from './lower/locked-rules.ts';
import { Lowering } from './lower/lowering.ts';
import { lowerToCallout } from './lower/rules.ts';
import { defineSystemRules } from './lower/system-rules.ts';
import { defineVectorRules } from './lower/vector-rules.ts';
import { ACCESS } from './mmu/walk.ts';
import { codeSizeOf, MODE, MODE_BITS } from './modes.ts';
import { CPU, SLOT } from './state.ts';
import type { CpuState } from './system/cpu-state.ts';

export const MAX_INSTRUCTIONS = 64;
/** Conditional branches that a block goes on behind. */
const MAX_BRANCHES = 3;
/** Space that one block may need: its instructions, each with at most six records. */
const BLOCK_SPACE = (MAX_INSTRUCTIONS + 2) * 6 * RECORD_SIZE;
const MAX_INSN = 15;
/** Bytes that a block may be made from in the page where it starts. */
const MAX_BLOCK_BYTES = (MAX_INSTRUCTIONS + 2) * MAX_INSN;
/** Blocks and callouts that are kept at most: what JavaScript has for each is larger than its records. */
const MAX_BLOCKS = 1 << 17;
const MAX_CALLOUTS = 1 << 16;
const KEY_MODES = 1 << MODE_BITS;

defineSystemRules();
defineVectorRules();

export interface CodeOptions {
  /** Instructions of a block at most, 1-64; 64 if left out. */
  readonly blockLength?: number | undefined;
  /** Whether instructions that depend on time find out how many were executed before them. */
  readonly exactTime?: boolean | undefined;
  /** Executions of a block before it is compiled; Infinity: never, 0: at once; the JIT's own if left out. */
  readonly jitThreshold?: number | undefined;
  /** What earlier runs have compiled. */
  readonly kept?: { readonly wasm: WasmCode; readonly contents: KeptContents | undefined } | undefined;
}

export class CodeCache {
  /** Undefined: everything is interpreted. */
  readonly jit: Jit | undefined;
  readonly #state: CpuState;
  readonly #lowering: Lowering;
  readonly #insn = new Insn();
  readonly #pages: CodePages;
  readonly #table: BlockTable;
  readonly #first: number;
  readonly #limit: number;
  readonly #jumpCache: number;
  readonly #staleOp: number;
  readonly #blockLength: number;
  readonly #snapshot: CodeSnapshot;
  readonly #sums: CodeSums;
  /** WebAssembly address of the second page of the block that was found or made last, if it has one. */
  #nextHost = 0;
  #next: number;
  /** Blocks made since everything was dropped the last time, and how often that was. */
  #made = 0;
  #drops = 0;
  #found: Block | undefined;

  constructor(state: CpuState, vcpu: number, ops: MicroOpTable, options: CodeOptions = {}) {
    const { blockLength = MAX_INSTRUCTIONS, exactTime = false, jitThreshold = DEFAULT_THRESHOLD, kept } = options;
    this.#blockLength = Math.max(1, Math.min(blockLength, MAX_INSTRUCTIONS));
    this.#state = state;
    this.#pages = new CodePages(state);
    this.#table = new BlockTable(state.words, vcpu);
    this.#snapshot = new CodeSnapshot(state.bytes, MAX_BLOCK_BYTES + MAX_INSN);
    this.#sums = new CodeSums(state.words, vcpu, (host, low, high) => state.core.codeSum(host, low, high));
    this.#lowering = new Lowering(state.view, this.#insn, ops);
    this.#lowering.exactTime = exactTime;
    this.#lowering.shared = this.#pages.isShared;
    this.#staleOp = ops.number('stale');
    if (jitThreshold < Number.POSITIVE_INFINITY) {
      const code = kept && new KeptCode(kept.wasm, state.words, (op) => ops.nameOf(op), kept.contents);
      this.jit = new Jit(state, ops, jitThreshold, (page, key) => this.#pages.find(page, key), code);
    }
    this.#first = areaOf(vcpu) + AREA.code;
    this.#limit = this.#first + CODE_SIZE;
    this.#jumpCache = areaOf(vcpu) + AREA.jumpCache;
    this.#next = this.#first;
    this.#table.clear(); // whoever ran this vCPU before has left his own there
  }

  /**
   * The record of the code at CPU.rip, entered into the jump cache; SLOT.page is set. A fault of the fetch is thrown as
   * GuestFault; 0: the address is not RAM, or that of the page where the instruction goes on is not: CPU.scratch says
   * which.
   */
  lookup(): number {
    const state = this.#state;
    state.count(CPU.codeLookups);
    const host = state.core.fetch(state.block);
    if (host === -1) state.throwFault(state.u32(CPU.fault));
    if (host === 0) return 0;
    const block = this.#find(host >>> 0);
    if (block === undefined) return 0;
    const low = state.u32(CPU.fetchAddress);
    const high = state.u32(CPU.fetchAddress + 4);
    const { words } = state;
    const page = (state.block + SLOT.page) >> 2;
    words[page] = low & -PAGE_SIZE;
    words[page + 1] = high;
    if (state.tlb.mayCacheJump()) {
      const hash = ((low >>> 12) ^ low) & (JUMP_ENTRIES - 1);
      const at = (this.#jumpCache + hash * JUMP_ENTRY_SIZE) >> 2;
      words[at] = low;
      words[at + 1] = high;
      words[at + 2] = state.u32(high >= 0x8000_0000 ? CPU.jumpTagHigh : CPU.jumpTagLow);
      words[at + 3] = block.record;
    }
    return block.record;
  }

  /** Like lookup, for the target of an unresolved direct branch in record `from`, which then leads there directly. */
  link(from: number): number {
    const { view } = this.#state;
    const before = this.#drops;
    const record = this.lookup();
    if (record !== 0 && this.#drops === before) {
      const { secondPage, links } = this.#found!;
      view.setInt32(from + RECORD.link, secondPage >= 0 ? NO_LINK : record, true);
      if (secondPage < 0) links.push(from);
    }
    return record;
  }

  /** The guest wrote [gpa, gpa + size), within one page. Devices that write memory must be told too. */
  written(gpa: number, size: number): void {
    const page = Math.floor(gpa / PAGE_SIZE);
    const from = gpa - page * PAGE_SIZE;
    this.#forgetRange(page, from, from + size);
    this.#pages.announce(page, from, from + size);
  }

  /** Drops what other vCPUs, or devices, have written since the last call. Not while guest code runs. */
  takeWrites(): void {
    const told = this.#pages.takeWrites((page, from, to) => this.#forgetRange(page, from, to));
    if (!told) this.dropAll();
  }

  /** Drops all code. */
  dropAll(): void {
    this.#pages.clear();
    this.#sums.clear();
    this.#table.clear();
    this.jit?.clear();
    this.#lowering.callouts.clear();
    this.#next = this.#first;
    this.#made = 0;
    this.#drops++;
    this.#state.count(CPU.codeDrops);
    this.#state.setCounter(CPU.blocks, 0);
    this.#state.tlb.flushJumps();
  }

  /** What is kept now, at most. */
  get blocks(): number {
    return this.#made;
  }

  get callouts(): number {
    return this.#lowering.callouts.size;
  }

  /** The instruction of a record that calls out; undefined if it only does so now and then. */
  calloutAt(record: number): Insn | undefined {
    return this.#lowering.callouts.get(record);
  }

  /** How many instructions of its block were executed before the one of `record`. */
  executedBefore(record: number): number {
    const { view } = this.#state;
    let remaining = 0;
    for (let at = record; ; at += RECORD_SIZE) {
      const flags = view.getUint16(at + RECORD.start, true);
      if ((flags & FIRST) !== 0 && at !== record) remaining++;
      if ((flags & LAST) !== 0) return Math.max(0, view.getUint16(at + RECORD.count, true) - remaining - 1);
    }
  }

  /** The block of the code that was just fetched, at `host` in the WebAssembly memory. */
  #find(host: number): Block | undefined {
    const state = this.#state;
    const gpa = state.u32(CPU.scratch) + state.u32(CPU.scratch + 4) * 0x1_0000_0000;
    const leaf = state.u32(CPU.scratch + 8);
    const mode = state.u32(CPU.mode);
    const page = Math.floor(gpa / PAGE_SIZE);
    const key = (gpa - page * PAGE_SIZE) * KEY_MODES + mode;
    const checked = this.#sums.areNeeded;
    if (checked) this.#checkPage(page, host);
    let block = this.#pages.find(page, key);
    if (block !== undefined && block.secondPage >= 0 && this.#translateNextPage(checked) !== block.secondPage) {
      this.#forget(block);
      block = undefined;
    }
    block ??= this.#build(key, host, page, mode);
    if (block === undefined) return undefined;
    if (checked) this.#sumUp(block, host);
    if (block.secondPage < 0) this.#table.set(page, key, block.record);
    // The walk of a second page has left its own entry there.
    state.setU32(CPU.scratch + 8, block.secondPage >= 0 ? leaf & state.u32(CPU.scratch + 8) : leaf);
    this.#found = block;
    return block;
  }

  /** Drops the code of a page whose bytes, at `host` and around it, are not what it was decoded from. */
  #checkPage(page: number, host: number): void {
    this.#sums.check(page, host & -PAGE_SIZE, (from, to) => this.#forgetRange(page, from, to));
  }

  #sumUp({ page, start, end, secondPage }: Block, host: number): void {
    this.#sums.add(page, host & -PAGE_SIZE, start, Math.min(end, PAGE_SIZE));
    if (secondPage >= 0) this.#sums.add(secondPage, this.#nextHost & -PAGE_SIZE, 0, end - PAGE_SIZE);
  }

  /** Guest physical page number of the page behind the code that was fetched; `checked`: with a look at its bytes. */
  #translateNextPage(checked: boolean): number {
    const state = this.#state;
    this.#nextHost = this.#translate(((state.u64(CPU.fetchAddress) | 0xfffn) + 1n) & state.u64(CPU.ripMask));
    const page = Number(state.u64(CPU.scratch) >> 12n);
    if (checked) this.#checkPage(page, this.#nextHost);
    return page;
  }

  /** WebAssembly address of code, 0 if it is not RAM; CPU.scratch is the gpa. Throws the guest's fault. */
  #translate(linear: bigint): number {
    const state = this.#state;
    const access = ACCESS.fetch | (state.cpl === 3 ? ACCESS.user : 0);
    const host = state.core.translate(state.block, BigInt.asIntN(64, linear), access);
    if (host === -1) state.throwFault(state.u32(CPU.fault));
    return host >>> 0;
  }

  #build(key: number, host: number, page: number, mode: number): Block | undefined {
    const l = this.#lowering;
    if (this.#next + BLOCK_SPACE > this.#limit || this.#made >= MAX_BLOCKS || l.callouts.size >= MAX_CALLOUTS) {
      this.dropAll();
    }
    const start = Math.floor(key / KEY_MODES);
    const block: Block = {
      page,
      key,
      start,
      end: start,
      record: this.#next,
      recordEnd: 0,
      secondPage: -1,
      links: [],
      region: undefined,
      copies: [],
    };
    l.at = this.#next;
    l.beginBlock(start);
    l.codeSize = codeSizeOf(mode);
    l.checked = (mode & MODE.checked) !== 0;
    l.noFpu = (mode & MODE.noFpu) !== 0;
    l.noSse = (mode & MODE.noSse) !== 0;
    const step = (mode & MODE.step) !== 0;
    if (step) l.emit('attention');
    else if (this.jit !== undefined) l.emit('header');
    this.#snapshot.start(host, Math.min(PAGE_SIZE - start, MAX_BLOCK_BYTES));
    if (!this.#decodeInto(block, step)) return undefined;
    if (!l.ended) this.#emitGoto(block);
    block.recordEnd = l.at;
    this.#next = l.at;
    this.#made++;
    const known = this.#pages.add(block);
    if (!step) this.jit?.add(block);
    this.#state.count(CPU.blocksMade);
    this.#state.count(CPU.blocks);
    if (known || !this.#pages.isShared || this.#snapshot.isCurrent()) return block;
    // Somebody wrote the bytes before writes to them had to be announced.
    this.#forget(block);
    return this.#build(key, host, page, mode);
  }

  /**
   * Decodes instructions until one ends the block, the page ends, or it is long enough. Interrupts come between blocks:
   * so a block ends behind POPF, and behind the instruction that follows STI. False: there is no memory where the only
   * instruction goes on.
   */
  #decodeInto(block: Block, step: boolean): boolean {
    const l = this.#lowering;
    const insn = this.#insn;
    const { bytes, length: available } = this.#snapshot;
    let branches = 0;
    let afterSti = false;
    for (let at = block.start; at < PAGE_SIZE; at = block.end) {
      const length = decode(bytes, at - block.start, available, l.codeSize, insn);
      if (length === DECODE_MORE) {
        if (l.count === 0 && !this.#decodeAcross(block)) return false;
        break;
      }
      this.#lower(block, at, length);
      if (l.ended || afterSti || insn.op === OP.popf) return true;
      // Compiled code leaves what TypeScript executes to the interpreter, and goes on in the next block.
      if (l.calledOut) return true;
      if (insn.op === OP.jcc) branches++;
      afterSti = insn.op === OP.sti;
      if (step) break;
      if ((l.count >= this.#blockLength || branches >= MAX_BRANCHES) && !afterSti) return true;
    }
    if (afterSti) l.emit('shadow'); // the instruction that interrupts have to wait for is in another block
    return true;
  }

  /** One instruction that starts in this page and ends in the next; false if that is no memory. */
  #decodeAcross(block: Block): boolean {
    const state = this.#state;
    const nextHost = this.#translate(((state.u64(CPU.fetchAddress) | 0xfffn) + 1n) & state.u64(CPU.ripMask));
    if (nextHost === 0) return false;
    this.#nextHost = nextHost;
    block.secondPage = Number(state.u64(CPU.scratch) >> 12n);
    const snapshot = this.#snapshot;
    snapshot.goOn(nextHost, MAX_INSN);
    const length = decode(snapshot.bytes, 0, snapshot.length, this.#lowering.codeSize, this.#insn);
    this.#lower(block, block.start, length);
    return true;
  }

  /** Lowers the instruction just decoded, `length` bytes or a DECODE code. */
  #lower(block: Block, at: number, length: number): void {
    const l = this.#lowering;
    l.begin(at);
    if (length === DECODE_TOO_LONG) l.emitBranch('protection', true);
    else if (length === DECODE_INVALID) l.emitBranch('undefined', true);
    else (ruleFor(l) ?? lowerToCallout)(l);
    // Any byte may make an instruction of what is none.
    block.end = at + (length > 0 ? length : MAX_INSN);
  }

  /** The block ends without a branch: on to the next instruction. */
  #emitGoto(block: Block): void {
    const l = this.#lowering;
    const inPage = block.end < PAGE_SIZE;
    const count = l.count;
    l.start = block.end & 0xfff;
    l.emitBranch('goto', true, { imm: block.end, link: inPage ? UNRESOLVED : NO_LINK });
    l.count = count;
  }

  #forgetRange(page: number, from: number, to: number): void {
    if (!this.#sums.areNeeded) {
      for (const block of this.#pages.overlapping(page, from, to)) this.#forget(block);
      return;
    }
    // All of each piece, whose sum is that of other bytes from now on.
    const [first, end] = [from & -PIECE_SIZE, (to + PIECE_SIZE - 1) & -PIECE_SIZE];
    for (const block of this.#pages.overlapping(page, first, end)) this.#forget(block);
    this.#sums.remove(page, first, end);
  }

  /** Takes a block out of use: whoever is in it, or still knows it, looks its code up again. */
  #forget(block: Block): void {
    const { view } = this.#state;
    this.#pages.remove(block);
    this.#table.delete(block.page, block.key);
    this.jit?.forget(block);
    this.#state.count(CPU.blocksInvalidated);
    this.#state.count(CPU.blocks, -1);
    for (let at = block.record; at < block.recordEnd; at += RECORD_SIZE) {
      const flags = view.getUint16(at + RECORD.start, true);
      if ((flags & FIRST) !== 0 || at === block.record) view.setUint16(at + RECORD.op, this.#staleOp, true);
    }
    for (const from of block.links) {
      if (view.getInt32(from + RECORD.link, true) === block.record) view.setInt32(from + RECORD.link, UNRESOLVED, true);
    }
  }
}
