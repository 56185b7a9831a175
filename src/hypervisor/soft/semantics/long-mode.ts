/**
 * What instructions and deliveries that change the privilege share: segments and modes of 64-bit code. Only the common
 * cases are here: flat segments whose descriptors are marked as accessed, privileges 0 and 3. The rest is for system/.
 */
import { ATTR, DS, ES, FS, GS } from '../architecture.ts';
import { AREA } from '../layout.ts';
import { area } from '../mmu/mmu.ts';
import { MODE } from '../modes.ts';
import { CPU, SEGMENT, SEGMENT_SIZE } from '../state.ts';
import type { I32, I32Like, I64, I64Like } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';

/** Bits of a descriptor that may be anything: DPL and AVL. */
const DPL_SHIFT = 45;
const VARIABLE_BITS = 0x0010_6000_0000_0000n;
/** Descriptors of flat segments, accessed and present, without those bits: 64-bit code that can be read; data of 32 bits. */
export const CODE64_DESCRIPTOR = 0x00af_9b00_0000_ffffn;
export const DATA_DESCRIPTOR = 0x00cf_9300_0000_ffffn;
/** SEGMENT.attributes of them, with DPL 0. */
export const CODE64_ATTRIBUTES = 0xa09b;
export const DATA_ATTRIBUTES = 0xc093;
const FLAT_LIMIT = 0xffff_ffff;

/** Offset of a segment register in the vCPU's block. */
export function segmentAt(n: number): number {
  return CPU.segments + n * SEGMENT_SIZE;
}

/** Whether 64-bit code runs that nobody steps through. */
export function runs64BitCode(f: FunctionBuilder, cpu: I32): I32 {
  return f
    .load32(cpu, CPU.mode)
    .and(MODE.codeSize | MODE.checked | MODE.step)
    .eq(2);
}

export function isNotCanonical(address: I64): I32 {
  return address.shl(16).shrS(16).ne(address);
}

/** Sets a segment register to a flat segment. */
export function setFlatSegment(f: FunctionBuilder, cpu: I32, n: number, selector: I32Like, attributes: I32Like): void {
  const at = segmentAt(n);
  f.store64(cpu, at + SEGMENT.base, 0);
  f.store32(cpu, at + SEGMENT.limit, FLAT_LIMIT | 0);
  f.store32(cpu, at + SEGMENT.attributes, attributes);
  f.store32(cpu, at + SEGMENT.selector, selector);
}

/** Makes a segment register null. */
export function setNullSegment(f: FunctionBuilder, cpu: I32, n: number, selector: I32Like): void {
  const at = segmentAt(n);
  f.store64(cpu, at + SEGMENT.base, 0);
  f.store32(cpu, at + SEGMENT.limit, 0);
  f.store32(cpu, at + SEGMENT.attributes, 0);
  f.store32(cpu, at + SEGMENT.selector, selector);
}

/** Goes on with privilege 0 or 3 in 64-bit code; `runs64BitCode` was true before. */
export function setPrivilege(f: FunctionBuilder, cpu: I32, cpl: 0 | 3): void {
  const user = cpl === 3;
  f.store32(cpu, CPU.cpl, cpl);
  f.store32(cpu, CPU.tlb, area(cpu).add(user ? AREA.tlbUser : AREA.tlbSupervisor));
  for (const tag of [CPU.jumpTagLow, CPU.jumpTagHigh]) {
    const old = f.load32(cpu, tag);
    f.store32(cpu, tag, user ? old.or(MODE.user) : old.and(~MODE.user));
  }
}

/** Whether a selector names an entry of the GDT that is within its limit: null is one. */
export function isInGdt(f: FunctionBuilder, cpu: I32, selector: I32): I32 {
  return selector
    .and(4)
    .eqz()
    .and(selector.or(7).leU(f.load32(cpu, CPU.gdtrLimit)));
}

/** Linear address of a selector's descriptor in the GDT. */
export function gdtEntry(f: FunctionBuilder, cpu: I32, selector: I32): I64 {
  return f.load64(cpu, CPU.gdtrBase).add(selector.and(0xfff8).toI64());
}

/** Whether `descriptor` is a flat one of this kind with the DPL that the selector's RPL asks for. */
export function isFlat(descriptor: I64, kind: I64Like, selector: I32): I32 {
  const hasKind = descriptor.and(~VARIABLE_BITS).eq(kind);
  return hasKind.and(descriptor.shrU(DPL_SHIFT).wrap().and(3).eq(selector.and(3)));
}

/** SEGMENT.attributes of a descriptor. */
export function attributesOf(descriptor: I64): I32 {
  return descriptor.shrU(40).wrap().and(0xf0ff);
}

/** Whether some data segment register must become null on the way to privilege 3 (SDM vol. 2, IRET). */
export function hasPrivilegedSegment(f: FunctionBuilder, cpu: I32): I32 {
  return [ES, DS, FS, GS]
    .map((n) =>
      f
        .load32(cpu, segmentAt(n) + SEGMENT.attributes)
        .and(ATTR.present | ATTR.dpl)
        .sub(ATTR.present)
        .ltU(ATTR.dpl),
    )
    .reduce((any, one) => any.or(one));
}
