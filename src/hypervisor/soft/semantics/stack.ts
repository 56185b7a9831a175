/**
 * The stack in 64-bit mode (linear, RSP of 64 bits), in flat 32-bit code (the same with 32 bits; modes.ts says what
 * flat means), and in the other modes (SS base, limit and size). RSP changes only when the access has succeeded.
 */

import { ATTR, FLAG, SS, VECTOR } from '../architecture.ts';
import { CPU, SEGMENT, SLOT } from '../state.ts';
import { I32, I64, select } from '../wasm/expr.ts';
import type { Emit, MicroOps } from './emit.ts';
import type { Size } from './flags.ts';
import { segmentAt } from './long-mode.ts';

/** ES CS SS DS FS GS. */
const SEGMENTS = 6;
const STACK_SEGMENT = segmentAt(SS);

/** How one kind of stack is used. `extra`: so many more bytes are dropped (RET n). */
interface StackAccess {
  push(e: Emit, value: I64, size: Size): void;
  pop(e: Emit, size: Size, extra?: I64): I64;
}

/** A stack without a segment, whose pointer has so many bytes. */
function flatStack(pointer: 4 | 8): StackAccess {
  return {
    push(e, value, size) {
      const below = e.getSlot(SLOT.rsp, pointer).sub(size);
      const sp = e.f.let(pointer === 8 ? below : below.and(0xffff_ffff));
      e.store(sp, size, value);
      e.setSlot(SLOT.rsp, pointer, sp);
    },
    pop(e, size, extra = I64.const(0)) {
      const sp = e.f.let(e.getSlot(SLOT.rsp, pointer));
      const value = e.load(sp, size);
      e.setSlot(SLOT.rsp, pointer, sp.add(I64.const(size).add(extra)));
      return value;
    },
  };
}

export const stack64 = flatStack(8);
export const stackFlat = flatStack(4);

interface LegacyStack {
  /** Bits of rSP that count. */
  readonly mask: I64;
  /** Linear address of stack offset `offset`, checked for `size` bytes. */
  linear(offset: I64, size: number): I64;
}

function legacyStack(e: Emit): LegacyStack {
  const { f } = e;
  const attributes = f.let(f.load32(e.cpu, STACK_SEGMENT + SEGMENT.attributes));
  const mask = f.let(select(attributes.and(ATTR.db), I64.const(0xffff_ffff), I64.const(0xffff)));
  const linear = (offset: I64, size: number) => {
    const limit = f.let(f.load32u64(e.cpu, STACK_SEGMENT + SEGMENT.limit));
    const last = f.let(offset.add(size - 1));
    f.if(
      attributes.and(0x1c).eq(0x14), // expand-down
      () => f.if(offset.leU(limit).or(last.gtU(mask)), () => e.raise(VECTOR.ss)),
      () => f.if(last.gtU(limit), () => e.raise(VECTOR.ss)),
    );
    return f.let(offset.add(f.load64(e.cpu, STACK_SEGMENT + SEGMENT.base)).and(0xffff_ffff));
  };
  return { mask, linear };
}

/** rSP = offset, in the bits that the stack segment's size gives. */
function setLegacySp(e: Emit, mask: I64, offset: I64): void {
  const old = e.getSlot(SLOT.rsp, 8);
  e.setSlot(SLOT.rsp, 8, old.and(mask.xor(-1)).and(0xffff_ffff).or(offset.and(mask)));
}

export const stackLegacy: StackAccess = {
  push(e, value, size) {
    const stack = legacyStack(e);
    const sp = e.f.let(e.getSlot(SLOT.rsp, 8).sub(size).and(stack.mask));
    e.store(stack.linear(sp, size), size, value);
    setLegacySp(e, stack.mask, sp);
  },
  pop(e, size, extra = I64.const(0)) {
    const stack = legacyStack(e);
    const sp = e.f.let(e.getSlot(SLOT.rsp, 8).and(stack.mask));
    const value = e.load(stack.linear(sp, size), size);
    setLegacySp(e, stack.mask, sp.add(I64.const(size).add(extra)));
    return value;
  },
};

/** POPF may change these, depending on privilege (SDM vol. 2, POPF; table 4-16). */
const ALWAYS = FLAG.tf | FLAG.df | FLAG.nt | FLAG.ac | FLAG.id;

function popFlags(e: Emit, image: I64, size: Size): void {
  const { f } = e;
  const value = f.let(image.wrap());
  const old = f.let(f.load32(e.cpu, CPU.eflags));
  // TF changes how code is decoded, and virtual-8086 mode has rules of its own: leave those to TypeScript.
  const mask = f.variable(I32.const(size === 2 ? ALWAYS & 0xffff : ALWAYS));
  const cpl = f.load32(e.cpu, CPU.cpl);
  f.if(cpl.leU(old.shrU(12).and(3)), () => f.set(mask, mask.or(FLAG.if)));
  f.if(cpl.eqz(), () => f.set(mask, mask.or(FLAG.iopl)));
  const now = f.let(old.and(mask.xor(-1)).or(value.and(mask)).and(~FLAG.rf));
  f.store32(e.cpu, CPU.eflags, now);
  e.flags.load(value);
  f.if(now.and(old.xor(-1)).and(FLAG.if).and(f.load32(e.cpu, CPU.interruptWaits).ne(0).shl(9)), () =>
    e.requestAttention(),
  );
}

function pushFlags(e: Emit): I64 {
  return e.flags
    .image()
    .or(e.f.load32(e.cpu, CPU.eflags))
    .and(~(FLAG.rf | FLAG.vm))
    .toI64();
}

export function defineStack(ops: MicroOps): void {
  for (const [mode, { push, pop }, sizes] of [
    ['64', stack64, [2, 8]],
    ['flat', stackFlat, [2, 4]],
    ['legacy', stackLegacy, [2, 4]],
  ] as const) {
    for (const size of sizes) {
      const hot = mode !== 'legacy' && size !== 2 ? 'hot' : 'cold';
      ops[hot](`push.${mode}.${size}.r`, (e) => push(e, e.f.let(e.get('b', size)), size));
      ops[hot](`push.${mode}.${size}.i`, (e) => push(e, e.imm(), size));
      ops[hot](`pop.${mode}.${size}`, (e) => e.set('a', size, e.f.let(pop(e, size))));
      ops.cold(`pushf.${mode}.${size}`, (e) => {
        const { f } = e;
        // Virtual-8086 mode looks at IOPL.
        if (mode === 'legacy') f.if(f.load32(e.cpu, CPU.eflags).and(FLAG.vm), () => e.callout());
        push(e, f.let(pushFlags(e)), size);
      });
      ops.cold(`popf.${mode}.${size}`, (e) => {
        const { f } = e;
        const tf = f.load32(e.cpu, CPU.eflags).and(FLAG.tf | FLAG.vm);
        f.if(tf, () => e.callout());
        const sp = f.let(e.getSlot(SLOT.rsp, 8));
        const image = f.let(pop(e, size));
        f.if(image.wrap().and(FLAG.tf), () => {
          e.setSlot(SLOT.rsp, 8, sp); // not yet: TypeScript executes it again
          e.callout();
        });
        popFlags(e, image, size);
      });
    }
  }
  for (let n = 0; n < SEGMENTS; n++) {
    const selector = segmentAt(n) + SEGMENT.selector;
    for (const size of [2, 4] as const) {
      ops.cold(`push.flat.${size}.segment${n}`, (e) => stackFlat.push(e, e.f.load16u64(e.cpu, selector), size));
    }
  }
  for (const [mode, size] of [
    ['64', 8],
    ['flat', 4],
  ] as const) {
    ops.hot(`leave.${mode}.${size}`, (e) => {
      const frame = e.f.let(e.getSlot(SLOT.rbp, size));
      const value = e.load(frame, size);
      e.setSlot(SLOT.rsp, size, frame.add(size));
      e.setSlot(SLOT.rbp, size, value);
    });
    // RSP += imm: for POP to memory, whose address is computed with the new RSP but which must not change it on a fault.
    ops.cold(`adjustSp.${mode}`, (e) => e.setSlot(SLOT.rsp, size, e.getSlot(SLOT.rsp, size).add(e.imm())));
  }
  const guarded = (e: Emit, change: (v: I32) => I32) => {
    const { f } = e;
    const old = f.let(f.load32(e.cpu, CPU.eflags));
    f.if(f.load32(e.cpu, CPU.cpl).gtU(old.shrU(12).and(3)), () => e.raise(VECTOR.gp));
    f.store32(e.cpu, CPU.eflags, change(old));
  };
  ops.hot('cli', (e) => guarded(e, (v) => v.and(~FLAG.if)));
  ops.hot('sti', (e) => {
    guarded(e, (v) => v.or(FLAG.if));
    e.f.if(e.f.load32(e.cpu, CPU.interruptWaits), () => e.requestAttention());
  });
}
