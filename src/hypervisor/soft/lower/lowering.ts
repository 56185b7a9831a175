/**
 * Turns decoded instructions into micro-operation records (interpreter/record.ts). This file has what all instructions
 * share: operands, addresses and the generic ways of a memory operand; the rules per instruction are in rules.ts.
 */
import { type CodeSize, type Insn, NO_REGISTER, OPERAND, type Operand, RIP, SEG } from '../decode/insn.ts';
import { hasMicroOp } from '../interpreter/catalog.ts';
import type { MicroOpTable } from '../interpreter/micro-op-table.ts';
import { FIRST, LAST, RECORD_SIZE, SCALE_SHIFT } from '../interpreter/record.ts';
import type { Semantics } from '../semantics/emit.ts';
import type { Size } from '../semantics/flags.ts';
import { SLOT } from '../state.ts';

/** The fields of a record that say where a memory operand is. */
export interface Address {
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly disp: number;
}

export interface Fields extends Partial<Address> {
  readonly a?: number;
  readonly b?: number;
  readonly imm?: number;
}

/** The address that SLOT.ea holds. */
export const AT_EA: Address = { base: SLOT.ea, index: SLOT.zero, scale: 0, disp: 0 };

export class Lowering {
  readonly insn: Insn;
  codeSize: CodeSize = 8;
  /** MODE.checked: accesses of legacy code must be checked against the segments. */
  checked = false;
  /** FPU and vector instructions fault, or may: TypeScript finds out how. */
  noFpu = false;
  /** Instructions on XMM registers do. */
  noSse = false;
  /** Instructions that depend on time must know how many were executed before them: TypeScript counts. */
  exactTime = false;
  /** The VM has several vCPUs: locked instructions must be atomic, and barriers be ones. */
  shared = false;
  /** Where the instruction starts in its page. */
  start = 0;
  /** Instructions in the block, with this one. */
  count = 0;
  /** Set by a rule whose instruction ends the block. */
  ended = false;
  /** Whether TypeScript executes the instruction. */
  calledOut = false;
  readonly #view: DataView;
  readonly #ops: MicroOpTable;
  #at = 0;
  #first = true;

  constructor(view: DataView, insn: Insn, ops: MicroOpTable) {
    this.#view = view;
    this.insn = insn;
    this.#ops = ops;
  }

  /** Where the next record goes. */
  get at(): number {
    return this.#at;
  }

  set at(address: number) {
    this.#at = address;
  }

  /** Starts a block at `start` in its page. What is emitted before the first instruction belongs to none. */
  beginBlock(start: number): void {
    this.start = start;
    this.count = 0;
    this.ended = false;
    this.#first = false;
  }

  /** Starts the instruction in `insn`, which lies at `start` in its page. */
  begin(start: number): void {
    this.start = start;
    this.count++;
    this.calledOut = false;
    this.#first = true;
  }

  get is64(): boolean {
    return this.codeSize === 8;
  }

  /** Legacy code whose data, stack and targets need no check, if their offsets have 32 bits (modes.ts). */
  get isFlat(): boolean {
    return !this.is64 && !this.checked;
  }

  /** Offset in the page of the next instruction; may be beyond the page. */
  get next(): number {
    return this.start + this.insn.length;
  }

  /** Writes a record. `semantics` is for micro-operations that are not in semantics/all.ts. */
  emit(name: string, fields: Fields = {}, semantics?: Semantics): void {
    const v = this.#view;
    const at = this.#at;
    v.setUint16(at, this.#ops.number(name, semantics), true);
    v.setUint16(at + 2, this.start | (this.#first ? FIRST : 0) | ((fields.scale ?? 0) << SCALE_SHIFT), true);
    v.setUint8(at + 4, fields.a ?? 0);
    v.setUint8(at + 5, fields.b ?? 0);
    v.setUint8(at + 6, fields.base ?? SLOT.zero);
    v.setUint8(at + 7, fields.index ?? SLOT.zero);
    v.setInt32(at + 8, fields.disp ?? 0, true);
    v.setInt32(at + 12, fields.imm ?? 0, true);
    this.#first = false;
    this.#at = at + RECORD_SIZE;
  }

  /** A record that may end the block: it carries the block's count and the next instruction's offset. */
  emitBranch(
    name: string,
    last: boolean,
    fields: { link?: number; imm?: number; base?: number; index?: number } = {},
  ): void {
    const at = this.#at;
    this.emit(name, { disp: fields.link ?? 0, imm: fields.imm ?? 0 });
    this.#view.setUint16(at + 4, this.count, true);
    this.#view.setUint16(at + 6, this.next, true);
    if (last) {
      this.#view.setUint16(at + 2, this.#view.getUint16(at + 2, true) | LAST, true);
      this.ended = true;
    }
  }

  /** Overwrites the displacement and immediate of the record just written with 64 bits. */
  patchImm64(low: number, high: number): void {
    this.#view.setInt32(this.#at - RECORD_SIZE + 8, low, true);
    this.#view.setInt32(this.#at - RECORD_SIZE + 12, high, true);
  }

  // -- operands

  /** The slot of a general register operand. */
  slot(operand: Operand): number {
    return operand.reg < 16 ? operand.reg * 8 : (operand.reg - 16) * 8 + 1;
  }

  /**
   * The address of the instruction's memory operand for an access of `size` bytes: emits what must be computed before.
   * `plain` is its offset where that is not what base, index and displacement say.
   */
  address(size: number, write: boolean, plain = this.#plainAddress()): Address {
    const { insn } = this;
    const segmented = insn.seg === SEG.fs || insn.seg === SEG.gs;
    const packed = insn.seg | (insn.addrSize << 4) | (size << 8) | ((write ? 1 : 0) << 16);
    const flat = this.isFlat && !segmented && insn.seg !== SEG.cs;
    if (!this.is64 && !flat) {
      this.emit('ea.legacy', { ...plain, imm: packed });
      return AT_EA;
    }
    // Addresses that are too long for the code's own size do not exist, so this is a shorter one.
    if (insn.addrSize !== (flat ? 4 : 8)) {
      this.emit(segmented ? 'ea.segment64mask' : 'ea.mask', { ...plain, imm: packed });
      return AT_EA;
    }
    if (segmented) {
      this.emit('ea.segment64', { ...plain, imm: packed });
      return AT_EA;
    }
    return plain;
  }

  /** Base, index and displacement as they stand, without segment and address size: for LEA. */
  plainAddress(): Address {
    return this.#plainAddress();
  }

  #plainAddress(): Address {
    const { insn } = this;
    if (insn.base === RIP) {
      const disp = this.next + insn.disp;
      if (disp === (disp | 0)) return { base: SLOT.page, index: SLOT.zero, scale: 0, disp };
      this.emit('lea.8', { a: SLOT.ea, base: SLOT.page, disp: this.next });
      return { base: SLOT.ea, index: SLOT.zero, scale: 0, disp: insn.disp };
    }
    if (
      insn.base === NO_REGISTER &&
      insn.index === NO_REGISTER &&
      insn.addrSize === 8 &&
      insn.dispHigh !== insn.disp >> 31
    ) {
      this.emit('mov.imm64', { a: SLOT.ea });
      this.patchImm64(insn.disp, insn.dispHigh);
      return AT_EA;
    }
    return {
      base: insn.base === NO_REGISTER ? SLOT.zero : insn.base * 8,
      index: insn.index === NO_REGISTER ? SLOT.zero : insn.index * 8,
      scale: insn.scale,
      disp: insn.disp,
    };
  }

  /** Like address(), but in SLOT.ea: for instructions that change a register before they store. */
  pinnedAddress(size: number, write: boolean): Address {
    const address = this.address(size, write);
    if (address !== AT_EA) this.emit('lea.8', { a: SLOT.ea, ...address });
    return AT_EA;
  }

  /** A source operand in a slot: a register's own, or t1 after a load. */
  source(operand: Operand): number {
    if (operand.kind !== OPERAND.mem) return this.slot(operand);
    this.emit(`load.${operand.size}`, this.address(operand.size, false));
    return SLOT.t1;
  }

  /** Runs `body` on the slot of a destination that is read and written. */
  modify(operand: Operand, body: (slot: number) => void, pinned = false): void {
    if (operand.kind !== OPERAND.mem) {
      body(this.slot(operand));
      return;
    }
    const size = operand.size as Size;
    const address = pinned ? this.pinnedAddress(size, true) : this.address(size, true);
    this.emit(`loadForStore.${size}`, address);
    body(SLOT.t1);
    this.emit(`storeBack.${size}`, address);
  }

  /** Runs `body` on the slot of a destination that is only written. */
  write(operand: Operand, body: (slot: number) => void): void {
    if (operand.kind !== OPERAND.mem) {
      body(this.slot(operand));
      return;
    }
    const address = this.address(operand.size, true);
    body(SLOT.t1);
    this.emit(`store.${operand.size}`, address);
  }

  has(name: string): boolean {
    return hasMicroOp(name);
  }

  /** The instructions that TypeScript executes, by the address of their record: it need not decode them again. */
  readonly callouts = new Map<number, Insn>();

  /** TypeScript executes the instruction; `ends` if it can change where or how execution goes on. */
  callout(ends: boolean): void {
    this.calledOut = true;
    this.callouts.set(this.#at, this.insn.clone());
    if (ends) this.emitBranch('callout.end', true);
    else this.emit('callout');
  }
}
