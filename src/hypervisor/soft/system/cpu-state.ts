/**
 * One vCPU's state, for TypeScript: the same bytes that generated code works on (state.ts), plus guest memory by linear
 * address. 64-bit values are BigInt here: nothing of this is on a hot path.
 */
import { Lock } from '../../../memory/lock.ts';
import { ARITHMETIC_FLAGS, ATTR, CR0, CR4, CS, EFER, FLAG, SS, VECTOR } from '../architecture.ts';
import { readArithmeticFlags, writeArithmeticFlags } from '../flags-image.ts';
import { blockOf, SPLIT_LOCK } from '../layout.ts';
import { TranslationCache } from '../mmu/translation-cache.ts';
import { ACCESS, NON_CANONICAL } from '../mmu/walk.ts';
import { MODE } from '../modes.ts';
import { CPU, SEGMENT, SEGMENT_SIZE } from '../state.ts';

/** A present data segment that is writable and does not expand down. */
const PLAIN_DATA_MASK = 0x9e;
const PLAIN_DATA = 0x92;

/** Thrown by system code for a fault of the guest; caught where WebAssembly called in. Preallocated: no stack trace. */
export class GuestFault extends Error {
  vector = 0;
  errorCode = 0;
}
const theFault = new GuestFault('guest fault');

/** The functions of the core module that TypeScript calls. */
export interface CoreExports {
  run(cpu: number, record: number): number;
  translate(cpu: number, va: bigint, access: number): number;
  fetch(cpu: number): number;
  /** The record of the code at CPU.rip, or 0 (interpreter/lookup.ts). */
  findCode(cpu: number): number;
  /** A sum of some pieces of the page at `host` (interpreter/code-sum.ts). */
  codeSum(host: number, low: number, high: number): number;
  /** 1 if an event was delivered at CPU.rip (deliver.ts), 0 if it has to be done in TypeScript. */
  deliver(cpu: number, vector: number, errorCode: number, isFault: number): number;
  /** The guest physical address, or -1 and the fault. */
  walk(cpu: number, va: bigint, access: number): bigint;
  load1(cpu: number, va: bigint): bigint;
  load2(cpu: number, va: bigint): bigint;
  load4(cpu: number, va: bigint): bigint;
  load8(cpu: number, va: bigint): bigint;
  store1(cpu: number, va: bigint, value: bigint): void;
  store2(cpu: number, va: bigint, value: bigint): void;
  store4(cpu: number, va: bigint, value: bigint): void;
  store8(cpu: number, va: bigint, value: bigint): void;
}

export type AccessSize = 1 | 2 | 4 | 8;

export class CpuState {
  /** Address of the vCPU's block. */
  readonly block: number;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** The whole WebAssembly memory, by words. */
  readonly words: Int32Array;
  /** What is remembered of linear addresses: to be told when mappings change. */
  readonly tlb: TranslationCache;
  core!: CoreExports;
  /** Held during locked accesses that the host cannot do atomically: mmu/locked.ts. */
  readonly splitLock: Lock;
  /** A debugger wants single steps; updateMode() makes it known. */
  stepping = false;
  /** The next instruction is to be executed without any behind it; updateMode() makes it known. */
  alone = false;
  readonly #i32: Int32Array;
  readonly #u64: BigUint64Array;
  readonly #f64: Float64Array;

  constructor(buffer: ArrayBufferLike, vcpu: number) {
    this.block = blockOf(vcpu);
    this.view = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.splitLock = new Lock(this.words.subarray(SPLIT_LOCK >> 2, (SPLIT_LOCK >> 2) + 1));
    this.tlb = new TranslationCache(this.words, vcpu);
    this.#i32 = new Int32Array(buffer, this.block, 1024);
    this.#u64 = new BigUint64Array(buffer, this.block, 512);
    this.#f64 = new Float64Array(buffer, this.block, 512);
  }

  // -- fields, by their offset in CPU (state.ts)

  u32(field: number): number {
    return this.#i32[field >> 2]! >>> 0;
  }

  setU32(field: number, value: number): void {
    this.#i32[field >> 2] = value;
  }

  u64(field: number): bigint {
    return this.#u64[field >> 3]!;
  }

  setU64(field: number, value: bigint): void {
    this.#u64[field >> 3] = value;
  }

  /** A counter of state.ts. */
  counter(field: number): number {
    return this.#f64[field >> 3]!;
  }

  setCounter(field: number, value: number): void {
    this.#f64[field >> 3] = value;
  }

  /** Adds to a counter. */
  count(field: number, more = 1): void {
    this.#f64[field >> 3]! += more;
  }

  /** General register 0-15, all 64 bits. */
  reg(n: number): bigint {
    return this.#u64[n]!;
  }

  /** Sets a general register; 4 bytes clear the upper half, 1 (low byte) and 2 leave the rest. */
  setReg(n: number, value: bigint, size: AccessSize = 8): void {
    if (size >= 4) this.#u64[n] = BigInt.asUintN(size * 8, value);
    else {
      const mask = size === 1 ? 0xffn : 0xffffn;
      this.#u64[n] = (this.#u64[n]! & ~mask) | (value & mask);
    }
  }

  get rip(): bigint {
    return this.u64(CPU.rip);
  }

  set rip(value: bigint) {
    this.setU64(CPU.rip, value);
  }

  get cpl(): number {
    return this.u32(CPU.cpl);
  }

  get cr0(): number {
    return this.u32(CPU.cr0);
  }

  get cr4(): number {
    return this.u32(CPU.cr4);
  }

  get efer(): number {
    return this.u32(CPU.efer);
  }

  get isProtected(): boolean {
    return (this.cr0 & CR0.pe) !== 0;
  }

  get isLongMode(): boolean {
    return (this.efer & EFER.lma) !== 0;
  }

  get is64BitCode(): boolean {
    return this.isLongMode && (this.segmentAttributes(CS) & ATTR.l) !== 0;
  }

  get isVirtual8086(): boolean {
    return (this.u32(CPU.eflags) & FLAG.vm) !== 0;
  }

  // -- RFLAGS

  get rflags(): number {
    return this.u32(CPU.eflags) | readArithmeticFlags(this.view, this.block);
  }

  /** Sets all of RFLAGS. Changes of TF or VM need updateMode() after. */
  set rflags(value: number) {
    writeArithmeticFlags(this.view, this.block, value);
    this.setU32(CPU.eflags, (value & ~ARITHMETIC_FLAGS) | 2);
  }

  // -- segments: 0-5 ES CS SS DS FS GS, LDTR, TR

  #segment(n: number): number {
    return CPU.segments + n * SEGMENT_SIZE;
  }

  segmentBase(n: number): bigint {
    return this.u64(this.#segment(n) + SEGMENT.base);
  }

  segmentLimit(n: number): number {
    return this.u32(this.#segment(n) + SEGMENT.limit);
  }

  segmentAttributes(n: number): number {
    return this.u32(this.#segment(n) + SEGMENT.attributes);
  }

  selector(n: number): number {
    return this.u32(this.#segment(n) + SEGMENT.selector) & 0xffff;
  }

  setSegment(n: number, selector: number, base: bigint, limit: number, attributes: number): void {
    const at = this.#segment(n);
    this.setU64(at + SEGMENT.base, base);
    this.setU32(at + SEGMENT.limit, limit);
    this.setU32(at + SEGMENT.attributes, attributes);
    this.setU32(at + SEGMENT.selector, selector);
  }

  setSegmentBase(n: number, base: bigint): void {
    this.setU64(this.#segment(n) + SEGMENT.base, base);
  }

  // -- what follows from the state

  /** Sets the privilege; call updateMode() when all of the change is done. */
  setCpl(cpl: number): void {
    this.setU32(CPU.cpl, cpl);
  }

  /**
   * Recomputes what generated code reads instead of CR0, CR4, EFER, CS and RFLAGS. To be called after every change of
   * these, of a segment register in legacy mode, of the privilege, of `stepping`, `alone` and the enable bits in DR7.
   */
  updateMode(): void {
    const is64 = this.is64BitCode;
    const is32 = (this.segmentAttributes(CS) & ATTR.db) !== 0;
    let mode = is64 ? 2 : is32 ? 1 : 0;
    if (!is64) {
      this.#updateSpans();
      if (!this.#isFlat()) mode |= MODE.checked;
    }
    if (this.alone || this.isTraced) mode |= MODE.step;
    if ((this.cr0 & (CR0.em | CR0.ts)) !== 0) mode |= MODE.noFpu;
    if ((this.cr4 & CR4.osfxsr) === 0) mode |= MODE.noSse;
    this.setU32(CPU.mode, mode);
    // From the next instruction on the vCPU's loop has to do something between them.
    if ((mode & MODE.step) !== 0) this.setU32(CPU.attention, -0x8000_0000);
    this.setU64(CPU.ripMask, is64 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn);
    this.setU64(CPU.csBase, is64 ? 0n : this.segmentBase(CS));
    const user = this.cpl === 3;
    this.tlb.setMode(mode, user);
  }

  /** Somebody looks after each instruction, and each element of a repeated one: RFLAGS.TF, DR7 or a debugger. */
  get isTraced(): boolean {
    return this.stepping || (this.u32(CPU.dr7) & 0xff) !== 0 || (this.u32(CPU.eflags) & FLAG.tf) !== 0;
  }

  /** SEGMENT.span of the six segments. */
  #updateSpans(): void {
    const words = this.#i32;
    for (let n = 0; n < 6; n++) {
      const at = this.#segment(n) >> 2;
      const limit = words[at + (SEGMENT.limit >> 2)]! >>> 0;
      const plain = (words[at + (SEGMENT.attributes >> 2)]! & PLAIN_DATA_MASK) === PLAIN_DATA;
      words[at + (SEGMENT.span >> 2)] = plain ? Math.min(limit + 1, 0xffff_ffff) : 0;
    }
  }

  /** What MODE.checked says is not so. */
  #isFlat(): boolean {
    for (const n of [0, SS, 3]) {
      if (!this.#isWhole(n) || this.u32(this.#segment(n) + SEGMENT.span) === 0) return false;
    }
    return this.#isWhole(CS) && (this.segmentAttributes(SS) & ATTR.db) !== 0;
  }

  /** Base 0 and limit 4 GiB. */
  #isWhole(n: number): boolean {
    const at = this.#segment(n);
    return this.u32(at + SEGMENT.base) === 0 && this.u32(at + SEGMENT.limit) === 0xffff_ffff;
  }

  // -- guest memory by linear address; a page fault is thrown as GuestFault

  /** With the current privilege. */
  read(va: bigint, size: AccessSize): bigint {
    const { core, block } = this;
    const address = BigInt.asIntN(64, va);
    const value =
      size === 8
        ? core.load8(block, address)
        : size === 4
          ? core.load4(block, address)
          : size === 2
            ? core.load2(block, address)
            : core.load1(block, address);
    this.#throwPending();
    return BigInt.asUintN(64, value);
  }

  write(va: bigint, size: AccessSize, value: bigint): void {
    const { core, block } = this;
    const address = BigInt.asIntN(64, va);
    const v = BigInt.asIntN(64, value);
    if (size === 8) core.store8(block, address, v);
    else if (size === 4) core.store4(block, address, v);
    else if (size === 2) core.store2(block, address, v);
    else core.store1(block, address, v);
    this.#throwPending();
  }

  /** Address in the WebAssembly memory of [va, va + size), if it is RAM of one page that can be read; otherwise 0. */
  hostForRead(va: bigint, size: number): number {
    return this.#hostFor(va, size, ACCESS.read);
  }

  /** The same for writing: there is no decoded code in the page. */
  hostForWrite(va: bigint, size: number): number {
    const host = this.#hostFor(va, size, ACCESS.write);
    return host !== 0 && this.tlb.mayWrite(va, this.cpl === 3) ? host : 0;
  }

  #hostFor(va: bigint, size: number, access: number): number {
    if (Number(va & 0xfffn) + size > 4096) return 0;
    const privilege = this.cpl === 3 ? ACCESS.user : 0;
    const host = this.core.translate(this.block, BigInt.asIntN(64, va), access | privilege);
    this.#throwPending();
    return host >>> 0;
  }

  /** As privilege 0, whatever runs: descriptor tables, TSS, stacks of interrupts (implicit supervisor accesses). */
  asSupervisor<T>(body: () => T): T {
    const cpl = this.cpl;
    this.setU32(CPU.cpl, 0);
    try {
      return body();
    } finally {
      this.setU32(CPU.cpl, cpl);
    }
  }

  /** Throws the fault that a write of `size` bytes to `va` would meet. */
  probeWrite(va: bigint, size: number): void {
    const access = ACCESS.write | (this.cpl === 3 ? ACCESS.user : 0);
    this.core.translate(this.block, BigInt.asIntN(64, va), access);
    this.#throwPending();
    const lastPage = (va + BigInt(size - 1)) & ~0xfffn;
    if (lastPage <= va) return;
    this.core.translate(this.block, BigInt.asIntN(64, lastPage), access);
    this.#throwPending();
  }

  #throwPending(): void {
    const fault = this.u32(CPU.fault);
    if (fault === 0) return;
    this.throwFault(fault);
  }

  /** Throws what CPU.fault was found to be. */
  throwFault(fault: number): never {
    this.setU32(CPU.fault, 0);
    this.raise(fault === NON_CANONICAL + 1 ? VECTOR.gp : fault - 1, this.u32(CPU.faultError));
  }

  /** Throws a fault. For page faults CPU.faultAddress must be set. */
  raise(vector: number, errorCode = 0): never {
    theFault.vector = vector;
    theFault.errorCode = errorCode;
    throw theFault;
  }
}
