/**
 * Decoded code of one vCPU: blocks of micro-operation records, found by the guest physical address of their code and
 * the mode they were decoded in.
 *
 * Blocks are never moved. One whose bytes were overwritten stays where it is, with the first record of each of its
 * instructions turned into `stale`, which looks the address up again: so links and a loop inside it need no repair.
 * When the space is used up everything is dropped at once.
 */
import { DECODE_INVALID, DECODE_MORE, DECODE_TOO_LONG, decode } from './decode/decode.ts';
import { Insn } from './decode/insn.ts';
import { OP } from './decode/opcodes.ts';
import type { MicroOpTable } from './interpreter/core.ts';
import { FIRST, LAST, NO_LINK, RECORD, RECORD_SIZE, UNRESOLVED } from './interpreter/record.ts';
import {
  AREA,
  areaOf,
  CODE_SIZE,
  JUMP_ENTRIES,
  JUMP_ENTRY_SIZE,
  REGION,
  REGION_SIZE,
  REGIONS,
  regionEntry,
} from './layout.ts';
import { Lowering } from './lower/lowering.ts';
import { lowerToCallout, rules } from './lower/rules.ts';
import { defineVectorRules } from './lower/vector-rules.ts';
import { ACCESS } from './mmu/mmu.ts';
import { codeSizeOf, MODE, MODE_BITS } from './modes.ts';
import { CPU, SLOT } from './state.ts';
import type { CpuState } from './system/cpu-state.ts';

const PAGE_SIZE = 4096;
const MAX_INSTRUCTIONS = 64;
/** Conditional branches that a block goes on behind. */
const MAX_BRANCHES = 3;
/** Space that one block may need: its instructions, each with at most six records. */
const BLOCK_SPACE = (MAX_INSTRUCTIONS + 2) * 6 * RECORD_SIZE;
const MAX_INSN = 15;
const KEY_MODES = 1 << MODE_BITS;

defineVectorRules();

interface Block {
  readonly key: number;
  /** Bytes of the page that the block was decoded from. */
  readonly start: number;
  end: number;
  readonly record: number;
  recordEnd: number;
  /** Guest physical page that an instruction across the page's end goes on in; -1 for none. */
  secondPage: number;
}

export class CodeCache {
  readonly #state: CpuState;
  readonly #lowering: Lowering;
  readonly #insn = new Insn();
  readonly #blocks = new Map<number, Block>();
  /** Blocks by guest physical page number of their bytes. */
  readonly #pages = new Map<number, Block[]>();
  readonly #first: number;
  readonly #limit: number;
  readonly #jumpCache: number;
  readonly #staleOp: number;
  readonly #joined = new Uint8Array(2 * MAX_INSN);
  #next: number;
  #found: Block | undefined;

  constructor(state: CpuState, vcpu: number, ops: MicroOpTable) {
    this.#state = state;
    this.#lowering = new Lowering(state.view, this.#insn, ops);
    this.#staleOp = ops.number('stale');
    this.#first = areaOf(vcpu) + AREA.code;
    this.#limit = this.#first + CODE_SIZE;
    this.#jumpCache = areaOf(vcpu) + AREA.jumpCache;
    this.#next = this.#first;
  }

  /**
   * The record of the code at CPU.rip, entered into the jump cache; SLOT.page is set. A fault of the fetch is thrown as
   * GuestFault; 0: the address is not RAM.
   */
  lookup(): number {
    const state = this.#state;
    const linear = (state.rip + state.u64(CPU.csBase)) & state.u64(CPU.ripMask);
    const block = this.#find(linear);
    if (block === undefined) return 0;
    const low = Number(linear & 0xffff_ffffn);
    const hash = ((low >>> 12) ^ low) & (JUMP_ENTRIES - 1);
    const at = this.#jumpCache + hash * JUMP_ENTRY_SIZE;
    state.view.setBigUint64(at, linear, true);
    state.view.setUint32(at + 8, state.u32(linear >> 63n ? CPU.jumpTagHigh : CPU.jumpTagLow), true);
    state.view.setUint32(at + 12, block.record, true);
    state.setU64(SLOT.page, linear & ~0xfffn);
    return block.record;
  }

  /** Like lookup, for the target of an unresolved direct branch in record `from`, which then leads there directly. */
  link(from: number): number {
    const { view } = this.#state;
    const before = this.#next;
    const record = this.lookup();
    const flushed = this.#next < before;
    if (record !== 0 && !flushed) {
      const crosses = this.#found!.secondPage >= 0;
      view.setInt32(from + RECORD.link, crosses ? NO_LINK : record, true);
    }
    return record;
  }

  /** The guest wrote [gpa, gpa + size), within one page. Devices that write memory must be told too. */
  written(gpa: number, size: number): void {
    const page = Math.floor(gpa / PAGE_SIZE);
    const list = this.#pages.get(page);
    if (list === undefined) return;
    const from = gpa % PAGE_SIZE;
    const stays = list.filter((block) => !this.#overlaps(block, page, from, from + size));
    if (stays.length === list.length) return;
    for (const block of list) {
      if (!stays.includes(block)) this.#kill(block);
    }
    this.#setPage(page, stays);
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

  #find(linear: bigint): Block | undefined {
    const state = this.#state;
    const host = this.#translate(linear);
    if (host === 0) return undefined;
    const gpa = Number(state.u64(CPU.scratch));
    const mode = state.u32(CPU.mode);
    const key = gpa * KEY_MODES + mode;
    let block = this.#blocks.get(key);
    if (block !== undefined && block.secondPage >= 0) {
      this.#translate((linear | 0xfffn) + 1n);
      if (Number(state.u64(CPU.scratch)) !== block.secondPage * PAGE_SIZE) {
        this.#forget(block);
        block = undefined;
      }
    }
    block ??= this.#build(key, linear, host, gpa, mode);
    this.#found = block;
    return block;
  }

  /** WebAssembly address of code, 0 if it is not RAM; CPU.scratch is the gpa. Throws the guest's fault. */
  #translate(linear: bigint): number {
    const state = this.#state;
    const access = ACCESS.fetch | (state.cpl === 3 ? ACCESS.user : 0);
    const host = state.core.translate(state.block, BigInt.asIntN(64, linear), access);
    if (host === -1) state.throwFault(state.u32(CPU.fault));
    return host >>> 0;
  }

  #build(key: number, linear: bigint, host: number, gpa: number, mode: number): Block {
    if (this.#next + BLOCK_SPACE > this.#limit) this.#dropAll();
    const l = this.#lowering;
    const start = gpa % PAGE_SIZE;
    const block: Block = { key, start, end: start, record: this.#next, recordEnd: 0, secondPage: -1 };
    l.at = this.#next;
    l.count = 0;
    l.ended = false;
    l.codeSize = codeSizeOf(mode);
    l.checked = (mode & MODE.checked) !== 0;
    l.noFpu = (mode & MODE.noFpu) !== 0;
    const step = (mode & MODE.step) !== 0;
    if (step) {
      l.start = start;
      l.emit('attention');
    }
    this.#decodeInto(block, host - start, linear, step);
    if (!l.ended) this.#emitGoto(block);
    block.recordEnd = l.at;
    this.#next = l.at;
    this.#blocks.set(key, block);
    this.#register(block, Math.floor(gpa / PAGE_SIZE));
    return block;
  }

  /**
   * Decodes instructions until one ends the block, the page ends, or it is long enough. Interrupts come between blocks:
   * so a block ends behind POPF, and behind the instruction that follows STI.
   */
  #decodeInto(block: Block, pageHost: number, linear: bigint, step: boolean): void {
    const l = this.#lowering;
    const insn = this.#insn;
    const { bytes } = this.#state;
    let branches = 0;
    let afterSti = false;
    for (let at = block.start; at < PAGE_SIZE; at = block.end) {
      const length = decode(bytes, pageHost + at, pageHost + PAGE_SIZE, l.codeSize, insn);
      if (length === DECODE_MORE) {
        if (l.count === 0) this.#decodeAcross(block, pageHost, linear);
        break;
      }
      this.#lower(block, at, length);
      if (l.ended || afterSti || insn.op === OP.popf) return;
      if (insn.op === OP.jcc) branches++;
      afterSti = insn.op === OP.sti;
      if (step) break;
      if ((l.count >= MAX_INSTRUCTIONS || branches >= MAX_BRANCHES) && !afterSti) return;
    }
    if (afterSti) l.emit('shadow'); // the instruction that interrupts have to wait for is in another block
  }

  /** One instruction that starts in this page and ends in the next. */
  #decodeAcross(block: Block, pageHost: number, linear: bigint): void {
    const state = this.#state;
    const nextHost = this.#translate((linear | 0xfffn) + 1n);
    const here = PAGE_SIZE - block.start;
    this.#joined.fill(0);
    this.#joined.set(state.bytes.subarray(pageHost + block.start, pageHost + PAGE_SIZE));
    this.#joined.set(state.bytes.subarray(nextHost, nextHost + MAX_INSN), here);
    block.secondPage = Math.floor(Number(state.u64(CPU.scratch)) / PAGE_SIZE);
    this.#lower(block, block.start, decode(this.#joined, 0, here + MAX_INSN, this.#lowering.codeSize, this.#insn));
  }

  /** Lowers the instruction just decoded, `length` bytes or a DECODE code. */
  #lower(block: Block, at: number, length: number): void {
    const l = this.#lowering;
    l.begin(at);
    if (length === DECODE_TOO_LONG) l.emitBranch('protection', true);
    else if (length === DECODE_INVALID) l.emitBranch('undefined', true);
    else (rules[this.#insn.op] ?? lowerToCallout)(l);
    block.end = at + Math.max(length, 1);
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

  #register(block: Block, page: number): void {
    this.#addToPage(page, block);
    if (block.secondPage >= 0) this.#addToPage(block.secondPage, block);
  }

  #addToPage(page: number, block: Block): void {
    const list = this.#pages.get(page);
    if (list === undefined) {
      this.#setPage(page, [block]);
      this.#state.protectPage(page);
      return;
    }
    list.push(block);
    this.#setPage(page, list);
  }

  /** Sets a page's blocks, and its entry of the code map: a bit for each 64 bytes that hold decoded code. */
  #setPage(page: number, blocks: Block[]): void {
    if (blocks.length === 0) this.#pages.delete(page);
    else this.#pages.set(page, blocks);
    let low = 0;
    let high = 0;
    for (const block of blocks) {
      const [from, to] = this.#range(block, page);
      for (let piece = from >> 6; piece <= (to - 1) >> 6; piece++) {
        if (piece < 32) low |= 1 << piece;
        else high |= 1 << (piece - 32);
      }
    }
    const at = this.#codeMapEntry(page);
    this.#state.view.setInt32(at, low, true);
    this.#state.view.setInt32(at + 4, high, true);
  }

  /** Where in `page` the block's bytes are. */
  #range(block: Block, page: number): [from: number, to: number] {
    const inSecond = page === block.secondPage && page !== Math.floor(block.key / KEY_MODES / PAGE_SIZE);
    return inSecond ? [0, Math.max(block.end - PAGE_SIZE, 1)] : [block.start, Math.min(block.end, PAGE_SIZE)];
  }

  #overlaps(block: Block, page: number, from: number, to: number): boolean {
    const [start, end] = this.#range(block, page);
    return start < to && from < end;
  }

  #codeMapEntry(page: number): number {
    const { view } = this.#state;
    const gpa = page * PAGE_SIZE;
    for (let i = 0, at = regionEntry(0); i < view.getUint32(REGIONS, true); i++, at += REGION_SIZE) {
      const offset = gpa - Number(view.getBigUint64(at + REGION.start, true));
      const size = Number(view.getBigUint64(at + REGION.size, true));
      if (offset >= 0 && offset < size) return view.getUint32(at + REGION.codeMap, true) + (offset / PAGE_SIZE) * 8;
    }
    throw new Error(`no memory at page ${page}`);
  }

  #kill(block: Block): void {
    const { view } = this.#state;
    this.#blocks.delete(block.key);
    for (let at = block.record; at < block.recordEnd; at += RECORD_SIZE) {
      const flags = view.getUint16(at + RECORD.start, true);
      if ((flags & FIRST) !== 0 || at === block.record) view.setUint16(at + RECORD.op, this.#staleOp, true);
    }
  }

  /** Takes a block off all lists. */
  #forget(block: Block): void {
    this.#kill(block);
    for (const page of [Math.floor(block.key / KEY_MODES / PAGE_SIZE), block.secondPage]) {
      const list = this.#pages.get(page);
      if (list !== undefined)
        this.#setPage(
          page,
          list.filter((b) => b !== block),
        );
    }
  }

  #dropAll(): void {
    for (const page of [...this.#pages.keys()]) this.#setPage(page, []);
    this.#blocks.clear();
    this.#next = this.#first;
    this.#state.flushJumpCache();
  }
}
