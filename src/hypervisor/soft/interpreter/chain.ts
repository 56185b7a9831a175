/**
 * From one compiled region to the next: a loop of its own, as that of the interpreter is too large to be as quick. It
 * ends where something else than a region comes next.
 */
import { area } from '../mmu/mmu.ts';
import { CPU, SLOT } from '../state.ts';
import type { Callable } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';
import { jumpEntry, jumpTag } from './lookup.ts';
import { RECORD } from './record.ts';

interface ChainParts {
  /** The type of regions. */
  readonly type: number;
  /** The micro-operation of the region in place `firstPlace` of the table. */
  readonly firstOp: number;
  readonly firstPlace: number;
  /** Of jit-flags.ts. */
  readonly settleFlags: Callable;
}

/** (cpu, header of a compiled block) -> record to go on with; 0: at CPU.rip; less: the loop must be left. */
export function defineChain(m: ModuleBuilder, { type, firstOp, firstPlace, settleFlags }: ChainParts): Callable {
  return m.func(['i32', 'i32'], ['i32'], (f, cpu, rec) => {
    const op = f.let(f.load16u(rec, RECORD.op));
    const status = f.local('i32');
    f.loop((again) => {
      f.set(status, f.callIndirect(type, 'i32', op.sub(firstOp - firstPlace), cpu, rec));
      const goOn = () => {
        f.set(rec, status);
        f.set(op, f.load16u(rec, RECORD.op));
        f.brIf(again, op.geU(firstOp));
      };
      f.if(
        status,
        () => f.if(status.gtS(0), goOn),
        () => {
          const target = f.let(f.load64(cpu, CPU.rip).add(f.load64(cpu, CPU.csBase)).and(f.load64(cpu, CPU.ripMask)));
          const entry = f.let(jumpEntry(target, area(cpu)));
          const isKnown = f
            .load64(entry)
            .eq(target)
            .and(f.load32(entry, 8).eq(jumpTag(f, cpu, target)));
          const mayGoOn = f.load32(cpu, CPU.budget).or(f.load32(cpu, CPU.attention)).geS(0);
          f.if(isKnown.and(mayGoOn), () => {
            f.store64(cpu, SLOT.page, target.and(-4096));
            f.set(status, f.load32(entry, 12));
            goOn();
          });
        },
      );
    });
    f.if(f.load32(cpu, CPU.keptKind), () => f.run(settleFlags, cpu));
    f.return(status);
  });
}
