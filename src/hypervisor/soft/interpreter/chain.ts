/**
 * From one compiled region to the next: a loop of its own, as that of the interpreter is too large to be as quick. It
 * ends where something else than a region comes next.
 *
 * What the jump cache says about a compiled block is the place of its region in the table and the number of the block
 * in it, so that nothing else needs to be read. Regions keep what they find there in cells of their own, and return it
 * when they go there again. Whoever drops a region must flush the jump cache, which the cells are a part of (jit.ts does).
 */
import { MAX_BLOCKS } from '../jit/region.ts';
import { AREA, JUMP_ENTRY_SIZE } from '../layout.ts';
import { area } from '../mmu/mmu.ts';
import { CPU, SLOT } from '../state.ts';
import { I32 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';
import { isJumpKnown, jumpEntry } from './lookup.ts';
import { RECORD } from './record.ts';

/** Marks a block of a region: its place in the table is above BLOCK_BITS, its number below. Records are at lower addresses. */
export const COMPILED = 1 << 30;
export const BLOCK_BITS = Math.log2(MAX_BLOCKS);

/** What the jump cache says of block `number` of the region at `place` of the table. */
export function compiledAt(place: number, number: number): number {
  return COMPILED | (place << BLOCK_BITS) | number;
}

interface ChainParts {
  /** The type of regions. */
  readonly type: number;
  /** The micro-operation of the region in place `firstPlace` of the table. */
  readonly firstOp: number;
  readonly firstPlace: number;
  /** Of jit-flags.ts. */
  readonly settleFlags: Callable;
}

/**
 * (cpu, header of a compiled block, or COMPILED and what belongs to it) -> record to go on with; 0: at CPU.rip; less: the
 * loop must be left.
 */
export function defineChain(m: ModuleBuilder, parts: ChainParts): Callable {
  return m.func(['i32', 'i32'], ['i32'], (f, cpu, first) => {
    const block = f.variable(first);
    const status = f.local('i32');
    f.if(block.ltU(COMPILED), () => f.set(block, compiled(f, parts, block)));
    f.loop((again) => {
      const place = block.shrU(BLOCK_BITS).sub(COMPILED >> BLOCK_BITS);
      f.set(status, f.callIndirect(parts.type, 'i32', place, cpu, block.and(MAX_BLOCKS - 1)));
      f.set(block, status);
      f.brIf(again, block.geS(COMPILED));
      f.ifRare(status.eqz(), () => {
        const target = f.let(f.load64(cpu, CPU.rip).add(f.load64(cpu, CPU.csBase)).and(f.load64(cpu, CPU.ripMask)));
        const entry = f.let(jumpEntry(target, area(cpu)));
        const mayGoOn = f.load32(cpu, CPU.budget).or(f.load32(cpu, CPU.attention)).geS(0);
        f.if(isJumpKnown(f, cpu, entry, target).and(mayGoOn), () => {
          f.store64(cpu, SLOT.page, target.and(-4096));
          f.set(status, f.load32(entry, 12));
          f.set(block, status);
          f.if(status.ltU(COMPILED), () => {
            f.set(block, compiled(f, parts, status));
            f.if(block, () => f.store32(entry, 12, block));
          });
          f.if(block, () => {
            rememberIn(f, cpu, entry);
            f.br(again);
          });
        });
      });
    });
    f.if(f.load32(cpu, CPU.keptKind), () => f.run(parts.settleFlags, cpu));
    f.return(status);
  });
}

/**
 * Copies an entry of the jump cache to the cell of the place that jumped, if it has one. Where the place was compiled together
 * with the block that it jumps to, it is to go to that copy.
 */
function rememberIn(f: FunctionBuilder, cpu: I32, entry: I32): void {
  const cell = f.let(f.load32(cpu, CPU.jumpCell));
  f.if(cell, () => {
    f.store128(cell, 0, f.load128(entry));
    const base = f.let(area(cpu));
    const number = cell.sub(base).sub(AREA.jumpCells).divU(JUMP_ENTRY_SIZE);
    const own = f.let(f.load32(base.add(number.shl(2)), AREA.ownTargets));
    const header = (block: I32) => f.load32(base.add(block.sub(COMPILED).shl(2)), AREA.regionBlocks);
    f.if(own, () => f.if(header(own).eq(header(f.load32(entry, 12))), () => f.store32(cell, 12, own)));
  });
}

/** COMPILED and so on for a record; 0 if it is not the header of a compiled block. */
function compiled(f: FunctionBuilder, { firstOp, firstPlace }: ChainParts, record: I32): Local<'i32'> {
  const place = f.let(f.load16u(record, RECORD.op).sub(firstOp));
  const block = place.add(firstPlace).shl(BLOCK_BITS).or(f.load32(record, RECORD.imm)).or(COMPILED);
  const result = f.local('i32');
  f.set(result, I32.const(0));
  f.if(place.geS(0), () => f.set(result, block));
  return result;
}
