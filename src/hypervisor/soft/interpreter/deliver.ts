/**
 * Delivery of faults and interrupts to 64-bit code of privilege 0, from 64-bit code: what nearly all deliveries in long
 * mode are. Whatever is unusual is left to system/exceptions.ts, before anything has changed that it would not change too.
 */
import { ATTR, CS, EFER, FLAG, HAS_ERROR_CODE, SS, TR, VECTOR } from '../architecture.ts';
import { AREA, TLB_ENTRY } from '../layout.ts';
import { area, type Mmu, tlbEntry } from '../mmu/mmu.ts';
import { ACCESS } from '../mmu/walk.ts';
import { Flags } from '../semantics/flags.ts';
import {
  attributesOf,
  CODE64_DESCRIPTOR,
  gdtEntry,
  isFlat,
  isInGdt,
  isNotCanonical,
  runs64BitCode,
  segmentAt,
  setFlatSegment,
  setNullSegment,
  setPrivilege,
} from '../semantics/long-mode.ts';
import { CPU, SEGMENT, SLOT } from '../state.ts';
import { I32, type I64 } from '../wasm/expr.ts';
import type { FunctionBuilder, Local } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';

/** One bit for each vector of HAS_ERROR_CODE. */
const ERROR_CODE_MASK = HAS_ERROR_CODE.reduce((mask, vector) => mask | (1 << vector), 0);
/** A gate's access byte, present and a system segment; the lowest bit makes it a trap gate (SDM vol. 3, 6.14.1). */
const GATE = 0x8e;
/** Where the 64-bit TSS has RSP0, and what the interrupt stack with number 0 would be (SDM vol. 3, 7.7). */
const TSS_RSP0 = 4;
const TSS_IST0 = 28;

/**
 * (cpu, vector, error code, is it a fault?) -> 1 if the event was delivered at CPU.rip, 0 if TypeScript has to. An event
 * that is no fault is an interrupt from outside. Sets CR2 for page faults.
 */
export function defineDeliver(m: ModuleBuilder, mmu: Mmu): void {
  m.func(
    ['i32', 'i32', 'i32', 'i32'],
    ['i32'],
    (f, cpu, vector, error, isFault) => new Delivery(f, mmu, { cpu, vector, error, isFault }).emit(),
    'deliver',
  );
}

interface Event {
  readonly cpu: I32;
  readonly vector: I32;
  readonly error: I32;
  readonly isFault: I32;
}

class Delivery {
  readonly #f: FunctionBuilder;
  readonly #mmu: Mmu;
  readonly #event: Event;
  readonly #cpl: Local<'i32'>;

  constructor(f: FunctionBuilder, mmu: Mmu, event: Event) {
    this.#f = f;
    this.#mmu = mmu;
    this.#event = event;
    this.#cpl = f.let(f.load32(event.cpu, CPU.cpl));
  }

  emit(): void {
    const f = this.#f;
    const { cpu, vector } = this.#event;
    const isLong = f.load64(cpu, CPU.efer).wrap().and(EFER.lma);
    f.if(isLong.eqz().or(runs64BitCode(f, cpu).eqz()).or(vector.eq(VECTOR.db)), () => f.return(I32.const(0)));
    // Tables and stacks are accessed with privilege 0.
    f.store32(cpu, CPU.cpl, 0);
    const gateAt = f.let(f.load64(cpu, CPU.idtrBase).add(vector.shl(4).toI64()));
    this.#leaveIf(vector.shl(4).or(15).gtU(f.load32(cpu, CPU.idtrLimit)));
    const low = this.#load(gateAt);
    const high = this.#load(gateAt.add(8));
    this.#leaveIf(
      low
        .shrU(40)
        .wrap()
        .and(0xff & ~ATTR.dpl)
        .or(1)
        .ne(GATE | 1),
    );
    const selector = f.let(low.shrU(16).wrap().and(0xfffc));
    this.#leaveIf(selector.eqz().or(isInGdt(f, cpu, low.shrU(16).wrap().and(0xffff)).eqz()));
    const code = this.#load(gdtEntry(f, cpu, selector));
    const target = f.let(low.and(0xffff).or(low.shrU(32).and(0xffff_0000)).or(high.shl(32)));
    this.#leaveIf(isFlat(code, CODE64_DESCRIPTOR, selector).eqz().or(isNotCanonical(target)));
    const stack = this.#newStack(low.shrU(32).wrap().and(7));
    this.#pushFrame(stack);
    this.#enter(selector, code, target, low.shrU(40).wrap().and(1));
    f.return(I32.const(1));
  }

  /** TypeScript delivers it if `unusual`. */
  #leaveIf(unusual: I32): void {
    const f = this.#f;
    f.if(unusual, () => {
      f.store32(this.#event.cpu, CPU.cpl, this.#cpl);
      f.store32(this.#event.cpu, CPU.fault, 0);
      f.return(I32.const(0));
    });
  }

  #load(linear: I64): Local<'i64'> {
    const f = this.#f;
    const { cpu } = this.#event;
    const value = f.let(f.call(this.#mmu.load[8], 'i64', cpu, linear));
    this.#leaveIf(f.load32(cpu, CPU.fault));
    return value;
  }

  /** The stack pointer to push the frame at: the gate's interrupt stack, that of privilege 0, or the current one. */
  #newStack(ist: I32): Local<'i64'> {
    const f = this.#f;
    const { cpu } = this.#event;
    const number = f.let(ist);
    const pointer = f.variable(f.load64(cpu, SLOT.rsp));
    f.if(number.or(this.#cpl), () => {
      const isIst = number.ne(0);
      const offset = f.let(
        number
          .shl(3)
          .add(isIst.mul(TSS_IST0 - TSS_RSP0))
          .add(TSS_RSP0),
      );
      this.#leaveIf(offset.add(7).gtU(f.load32(cpu, segmentAt(TR) + SEGMENT.limit)));
      f.set(pointer, this.#load(f.load64(cpu, segmentAt(TR) + SEGMENT.base).add(offset.toI64())));
    });
    this.#leaveIf(isNotCanonical(pointer));
    return f.let(pointer.and(-16));
  }

  /** Writes the frame, which is 40 bytes, or 48 with an error code; RSP becomes its address. */
  #pushFrame(stack: Local<'i64'>): void {
    const f = this.#f;
    const { cpu, vector, error, isFault } = this.#event;
    const hasError = f.let(isFault.and(vector.ltU(32)).and(I32.const(ERROR_CODE_MASK).shrU(vector)));
    const end = f.let(stack.sub(40));
    const frame = f.let(end.sub(hasError.shl(3).toI64()));
    const host = this.#stackHost(frame, end);
    const at = f.let(host.add(hasError.shl(3)));
    const flags = new Flags(f, cpu).image().or(f.load32(cpu, CPU.eflags)).and(~FLAG.rf);
    f.store64(at, 0, f.load64(cpu, CPU.rip));
    f.store64(at, 8, f.load16u64(cpu, segmentAt(CS) + SEGMENT.selector));
    f.store64(at, 16, flags.or(isFault.shl(16)).toI64()); // RF
    f.store64(at, 24, f.load64(cpu, SLOT.rsp));
    f.store64(at, 32, f.load16u64(cpu, segmentAt(SS) + SEGMENT.selector));
    f.if(hasError, () => f.store64(host, 0, error.toI64()));
    f.store64(cpu, SLOT.rsp, frame);
  }

  /** WebAssembly address of the frame's first byte: all of it lies in one page of RAM, which holds no decoded code. */
  #stackHost(frame: I64, end: I64): Local<'i32'> {
    const f = this.#f;
    const { cpu } = this.#event;
    const tlb = area(cpu).add(AREA.tlbSupervisor);
    const entry = f.let(tlbEntry(frame, tlb));
    const misses = () => frame.xor(f.load64(entry, TLB_ENTRY.write)).geU(4096);
    this.#leaveIf(frame.xor(end.add(39)).geU(4096).or(isNotCanonical(frame)));
    f.if(misses(), () => {
      f.drop(f.call(this.#mmu.translate, 'i32', cpu, frame, I32.const(ACCESS.write)));
      this.#leaveIf(f.load32(cpu, CPU.fault).or(misses()));
    });
    return f.let(frame.wrap().add(f.load32(entry, TLB_ENTRY.host)));
  }

  /** Everything that the handler starts with. */
  #enter(selector: I32, code: I64, target: I64, isTrap: I32): void {
    const f = this.#f;
    const { cpu, vector, isFault } = this.#event;
    setFlatSegment(f, cpu, CS, selector, attributesOf(code));
    f.if(this.#cpl, () => setNullSegment(f, cpu, SS, 0));
    setPrivilege(f, cpu, 0);
    f.store64(cpu, CPU.rip, target);
    const interruptFlag = isTrap.shl(9);
    const kept = interruptFlag.or(~(FLAG.tf | FLAG.nt | FLAG.vm | FLAG.rf | FLAG.if));
    f.store32(cpu, CPU.eflags, f.load32(cpu, CPU.eflags).and(kept));
    f.if(isFault.and(vector.eq(VECTOR.pf)), () => f.store64(cpu, CPU.cr2, f.load64(cpu, CPU.faultAddress)));
  }
}
