/**
 * Compiles a region, blocks in the order of `selectRegion`, to one function
 *
 *     (cpu, number of a block) -> record, or block of a region (chain.ts), to go on with; 0: at CPU.rip
 *
 * which is what the interpreter's loop expects of a micro-operation. Loops of the guest become loops of WebAssembly, all
 * other jumps within the region are branches forward. Whoever comes from outside to a block in the middle of a loop goes
 * by way of the loop's start, where a table leads on. Whatever is rare, faults above all, is left to the interpreter: it
 * executes the record once more, with all registers stored.
 */
import type { Block } from '../code-pages.ts';
import { COMPILED } from '../interpreter/chain.ts';
import { FIRST, LAST, RECORD, RECORD_SIZE } from '../interpreter/record.ts';
import { AREA, areaOf, vcpuOf } from '../layout.ts';
import type { Semantics } from '../semantics/emit.ts';
import { CPU, SLOT } from '../state.ts';
import { I32, type I64 } from '../wasm/expr.ts';
import type { FunctionBuilder, Label, Local } from '../wasm/function-builder.ts';
import { JitEmit, type JitExits, type JitImports } from './jit-emit.ts';
import { JitFlags } from './jit-flags.ts';
import type { ModuleCells } from './jump-cells.ts';
import { JumpPrediction } from './jump-prediction.ts';
import { findLoops, type Item, itemsOf, type Loop } from './loops.ts';
import { hasIndirectJump, jumpsOf, type Member, mayCallOrReturn, pageOf } from './region.ts';
import { Registers } from './registers.ts';

/** What the compiler reads of the records. */
export interface RecordSource {
  readonly view: DataView;
  opName(record: number): string;
  semantics(record: number): Semantics;
}

export interface RegionContext {
  readonly source: RecordSource;
  readonly imports: JitImports;
  /** Address of the vCPU's block. */
  readonly cpu: number;
  /** In 64-bit code the base of CS is 0. */
  readonly is64: boolean;
  /** compiledAt() of its first block. */
  readonly firstBlock: I32;
  readonly cells: ModuleCells;
}

/** Micro-operations that only the interpreter executes. */
const INTERPRETED = new Set(['callout', 'callout.end', 'shadow', 'attention', 'stale']);

/** Micro-operations whose store is the last that they do. */
const ENDS_WITH_STORE = /^(mov\.\d\.m[ri]|store(Back)?\.\d|storev\.\d+u?)$/;

/** Emits the body of a region's function. */
export function compileRegion(
  f: FunctionBuilder,
  start: Local<'i32'>,
  members: readonly Member[],
  context: RegionContext,
): void {
  new RegionCompiler(f, start, members, context).compile();
}

/** In #entry: the start of the loop. */
const START = -1;

/** How to get to a block: a branch to a label, with this in #entry if that is where a loop starts. */
interface Way {
  readonly label: Label;
  readonly entry: number | undefined;
}

class RegionCompiler implements JitExits {
  readonly #f: FunctionBuilder;
  readonly #start: Local<'i32'>;
  readonly #members: readonly Member[];
  readonly #context: RegionContext;
  readonly #cpu: I32;
  readonly #registers: Registers;
  readonly #flags: JitFlags;
  readonly #emit: JitEmit;
  readonly #prediction: JumpPrediction;
  /** By Member.at. */
  readonly #indexOf = new Map<number, number>();
  readonly #loops: readonly Loop[];
  /** At the start of a loop: the block to go on with, or START. */
  readonly #entry: Local<'i32'>;
  /** The record that is returned. */
  readonly #next: Local<'i32'>;
  /** How the code that is being emitted gets to each block. */
  readonly #ways: Way[] = [];
  /** Where a jump to a block of the region goes that only execution knows; undefined if there is none. */
  #again: Label | undefined;
  #leave!: Label;
  #interpret!: Label;
  #current = 0;
  /** The page of the current block, counted as Member.at. */
  #page = 0;
  /** Instructions since the last that were accounted for. */
  #count = 0;
  /** Where the instruction behind the current one starts in the page, while its last record is emitted. */
  #behind: number | undefined;

  constructor(f: FunctionBuilder, start: Local<'i32'>, members: readonly Member[], context: RegionContext) {
    this.#f = f;
    this.#start = start;
    this.#members = members;
    this.#context = context;
    this.#cpu = I32.const(context.cpu);
    for (const [i, { at }] of members.entries()) this.#indexOf.set(at, i);
    this.#loops = findLoops(this.#jumpsBack());
    this.#registers = new Registers(f, this.#cpu, !this.#loops.some((loop) => this.#isTight(loop)));
    this.#flags = new JitFlags(f, this.#cpu, context.imports.settleFlags);
    this.#prediction = new JumpPrediction(f, this.#cpu, context.cells);
    this.#entry = f.lasting('i32');
    this.#next = f.lasting('i32');
    const { imports, is64 } = context;
    const { view } = context.source;
    const parts = { registers: this.#registers, flags: this.#flags, imports, exits: this, view, is64 };
    this.#emit = new JitEmit(f, this.#cpu, parts);
  }

  compile(): void {
    const f = this.#f;
    this.#registers.loadLater();
    this.#emit.enter();
    f.set(this.#entry, this.#start);
    f.block((interpret) => {
      this.#interpret = interpret;
      f.block((leave) => {
        this.#leave = leave;
        const emit = () => this.#emitItems(itemsOf(this.#loops, 0, this.#members.length - 1));
        if (!this.#comesBack()) emit();
        else
          f.loop((again) => {
            this.#again = again;
            emit();
          });
      });
      this.#emitReturn(false);
    });
    this.#emitReturn(true);
  }

  /**
   * Emits the parts of the region, or of a loop that starts at `loopStart`, behind a branch to that which #entry names. All
   * parts up to the last are inside of the label of the last, and so on: a jump to a later part is a branch out of its
   * label.
   */
  #emitItems(items: readonly Item[], loopStart?: Label): void {
    const labels: Label[] = [];
    const emitUpTo = (last: number): void => {
      this.#f.block((label) => {
        labels[last] = label;
        if (last > 0) emitUpTo(last - 1);
        else this.#emitDispatch(items, labels, loopStart);
      });
      this.#emitItem(items[last]!);
    };
    emitUpTo(items.length - 1);
  }

  #emitDispatch(items: readonly Item[], labels: readonly Label[], loopStart: Label | undefined): void {
    const f = this.#f;
    const first = items[0]!.first;
    const byBlock: Label[] = [];
    for (const [i, item] of items.entries()) {
      for (let block = item.first; block <= item.last; block++) {
        byBlock.push(labels[i]!);
        const entry = item.loop === undefined ? undefined : block === item.first ? START : block;
        this.#ways[block] = { label: labels[i]!, entry };
      }
    }
    if (loopStart !== undefined) this.#ways[first] = { label: loopStart, entry: START };
    if (byBlock.length === 1) return;
    if (loopStart !== undefined) f.brIf(labels[0]!, this.#entry.ltS(0));
    f.brTable(this.#entry.sub(first), byBlock, labels[0]!);
  }

  #emitItem({ first, loop }: Item): void {
    if (loop === undefined) {
      this.#current = first;
      this.#page = pageOf(this.#members[first]!.at);
      this.#emitBlock(this.#members[first]!.block);
    } else {
      this.#f.loop((start) => this.#emitItems(itemsOf(this.#loops, loop.first, loop.last, loop), start));
    }
  }

  #emitReturn(interpret: boolean): void {
    const f = this.#f;
    this.#registers.storeLater(interpret);
    f.store32(this.#cpu, CPU.budget, this.#emit.budget);
    if (interpret) {
      this.#flags.forget();
      this.#flags.store();
      f.store32(this.#cpu, CPU.fault, 0);
    }
    f.return(this.#next);
  }

  #emitBlock(block: Block): void {
    this.#flags.forget();
    this.#registers.forget();
    this.#emit.floats.forget();
    this.#emit.asksAttention = false;
    this.#emitRecords(block);
  }

  /** For each block that is jumped back to, the last block that does so. */
  #jumpsBack(): Map<number, number> {
    const sources = new Map<number, number>();
    for (const [from, member] of this.#members.entries()) {
      for (const at of jumpsOf(this.#context.source, member, this.#indexOf)) {
        const to = this.#indexOf.get(at);
        if (to !== undefined && to <= from) sources.set(to, from);
      }
    }
    return sources;
  }

  /** Whether nothing is called in a loop: only then does it run long enough, and with so few registers, that they are worth to be kept. */
  #isTight({ first, last }: Loop): boolean {
    return !this.#members.slice(first, last + 1).some(({ block }) => mayCallOrReturn(this.#context.source, block));
  }

  /** Whether execution may come from one block to another by a jump that has no target of its own. */
  #comesBack(): boolean {
    const { source } = this.#context;
    return this.#members.length > 1 && this.#members.some(({ block }) => hasIndirectJump(source, block));
  }

  #emitRecords(block: Block): void {
    const { source } = this.#context;
    this.#count = 0;
    this.#emit.mayChangeCode = false;
    for (let at = block.record + RECORD_SIZE; at < block.recordEnd; at += RECORD_SIZE) {
      const bits = source.view.getUint16(at + RECORD.start, true);
      const name = source.opName(at);
      if (name === 'goto') this.#leaveIfCodeChanged(source.view.getInt32(at + RECORD.imm, true));
      if ((bits & FIRST) !== 0) {
        const start = bits & 0xfff;
        this.#leaveIfCodeChanged(start);
        const other = start === block.start ? undefined : this.#indexOf.get(this.#page + start);
        if (other !== undefined) {
          this.#emit.charge(this.#count);
          this.#goInside(other);
          return;
        }
        this.#count++;
        this.#registers.beginInstruction();
      }
      if (INTERPRETED.has(name)) {
        this.interpret(at);
        return;
      }
      this.#behind = this.#startBehind(at);
      this.#emit.at(at, this.#behind !== undefined && ENDS_WITH_STORE.test(name));
      this.#f.scope(() => source.semantics(at)(this.#emit));
      if ((bits & LAST) !== 0) return;
    }
  }

  /** Behind an instruction whose store met decoded code, which may be what comes next. */
  #leaveIfCodeChanged(start: number): void {
    const emit = this.#emit;
    if (!emit.mayChangeCode) return;
    emit.mayChangeCode = false;
    this.#f.ifRare(emit.codeChanged, () => this.#leaveFor(start));
  }

  #leaveFor(start: number): void {
    this.#f.store32(this.#cpu, CPU.codeChanged, 0);
    this.#emit.charge(this.#count);
    this.arrive(this.#emit.addressInPage(start));
  }

  /** Where the next instruction starts in the page, if the record at `at` is its instruction's last. */
  #startBehind(at: number): number | undefined {
    const { source } = this.#context;
    const next = at + RECORD_SIZE;
    const bits = source.view.getUint16(next + RECORD.start, true);
    if (source.opName(next) === 'goto') return source.view.getInt32(next + RECORD.imm, true);
    return (bits & FIRST) !== 0 ? bits & 0xfff : undefined;
  }

  // -- JitExits

  interpret(record: number): void {
    const offset = record - this.#members[this.#current]!.block.record;
    this.#registers.storeTemporaries();
    this.#f.set(this.#next, this.#headerOf(this.#current).add(offset));
    this.#f.br(this.#interpret);
  }

  arrive(linear: I64): void {
    const f = this.#f;
    this.#setRip(linear);
    f.set(this.#next, I32.const(0));
    this.#flags.store();
    f.br(this.#leave);
  }

  leaveBehind(): void {
    this.#leaveFor(this.#behind!);
  }

  jump(record: number): void {
    const offset = this.#context.source.view.getInt32(record + RECORD.imm, true);
    const target = this.#emit.addressInPage(offset);
    const inside = this.#indexOf.get(this.#page + offset);
    this.#emit.account();
    if (inside === undefined) this.goTo(target);
    else if (pageOf(offset) !== 0) this.#goByCell(target, this.#prediction.newCell(inside), inside);
    else {
      if (this.#emit.mayChangeCode) this.#f.ifRare(this.#emit.codeChanged, () => this.goTo(target));
      this.#goInside(inside);
    }
  }

  goTo(linear: I64): void {
    this.#goByCell(linear, this.#prediction.newCell());
  }

  noteCall(behind: number): void {
    this.#prediction.noteCall(this.#indexOf.get(this.#page + behind));
  }

  goBack(linear: I64): void {
    this.#goByCell(linear, this.#prediction.takeReturn());
  }

  /**
   * To where execution went the last time, if it goes there again: then `cell` knows the region. `inside`: the block of
   * this region that was there when it was selected.
   */
  #goByCell(linear: I64, cell: I32, inside?: number): void {
    const f = this.#f;
    const target = f.let(linear);
    f.ifRare(this.#mustLookUp(), () => this.arrive(target));
    this.#prediction.check(cell, target, () => this.arrive(target));
    f.set(this.#next, this.#prediction.of(cell));
    this.#registers.setSlot(SLOT.page, target.and(-4096), false);
    if (inside !== undefined) this.#goInsideIfNext(inside);
    else if (this.#again !== undefined) this.#goAgainIfNext(this.#again);
    this.#flags.store();
    f.br(this.#leave);
  }

  #goInsideIfNext(inside: number): void {
    const isHere = this.#next.eq(this.#context.firstBlock.add(inside));
    this.#f.ifLikely(
      isHere,
      () => this.#goTo(inside),
      () => {},
    );
  }

  #goAgainIfNext(again: Label): void {
    const f = this.#f;
    const number = f.let(this.#next.sub(this.#context.firstBlock));
    f.if(number.ltU(this.#members.length), () => {
      f.set(this.#entry, number);
      f.br(again);
    });
  }

  /** To a block of the region in the same page. The budget and the attention word are looked at before each jump back. */
  #goInside(index: number): void {
    const isForward = index > this.#current;
    if (!isForward || this.#emit.asksAttention) {
      const { at } = this.#members[index]!;
      this.#f.ifRare(this.#mustLookUp(), () => this.arrive(this.#emit.addressInPage(at - this.#page)));
    }
    this.#goTo(index);
  }

  #goTo(index: number): void {
    const { label, entry } = this.#ways[index]!;
    if (entry !== undefined) this.#f.set(this.#entry, I32.const(entry));
    this.#f.br(label);
  }

  /** The record that a block starts with. */
  #headerOf(index: number): I32 {
    const { firstBlock, cpu } = this.#context;
    const place = firstBlock.add(index - COMPILED).shl(2);
    return this.#f.load32(place, areaOf(vcpuOf(cpu)) + AREA.regionBlocks);
  }

  #mustLookUp(): I32 {
    return this.#emit.budget.or(this.#f.load32(this.#cpu, CPU.attention)).ltS(0);
  }

  #setRip(linear: I64): void {
    const f = this.#f;
    const rip = this.#context.is64 ? linear : linear.sub(f.load64(this.#cpu, CPU.csBase));
    f.store64(this.#cpu, CPU.rip, rip);
  }
}
