/**
 * Accesses to guest memory in generated code, the same for the interpreter and the JIT: one comparison with an entry of
 * the TLB says whether the access can be made right there; everything else is a call of the MMU.
 */
import { TLB_ENTRY } from '../layout.ts';
import type { Size } from '../semantics/flags.ts';
import { CPU } from '../state.ts';
import { I32, type I64, V128 } from '../wasm/expr.ts';
import type { FunctionBuilder, Local } from '../wasm/function-builder.ts';
import { LOCKED, type LockedKind } from './locked.ts';
import { following, type Mmu, tlbEntry } from './mmu.ts';
import { loadLow, loadSized, storeLow, storeSized } from './sized.ts';

/** What to emit for an access that the TLB has, at a WebAssembly address, and for one that the MMU does, at the linear one. */
interface Ways {
  readonly fast?: (host: I32) => void;
  readonly slow: (at: Local<'i64'>) => void;
}

/** The part of Emit (semantics/emit.ts, with its documentation) that is about guest memory. */
export abstract class AccessEmit {
  readonly f: FunctionBuilder;
  /** Address of the vCPU's block. */
  readonly cpu: I32;
  readonly #mmu: Mmu;

  constructor(f: FunctionBuilder, cpu: I32, mmu: Mmu) {
    this.f = f;
    this.cpu = cpu;
    this.#mmu = mmu;
  }

  /** Address of the TLB, CPU.tlb. */
  protected abstract tlb(): I32;
  /** Leaves the instruction for the fault that CPU.fault says. */
  protected abstract leaveForFault(): void;
  /** Emitted behind a store by the MMU: it may have met decoded code. */
  protected abstract storedByMmu(): void;
  /** Keeps the WebAssembly address of what loadForStore() loaded, or 0, for storeBack(); gives what to read it by. */
  protected abstract keepForStore(host: I32): I32;
  protected abstract keptForStore(): I32;

  hostForRead(linear: I64): I32 {
    return this.#hostFor(linear, TLB_ENTRY.read);
  }

  hostForWrite(linear: I64): I32 {
    return this.#hostFor(linear, TLB_ENTRY.write);
  }

  load(linear: I64, size: Size): Local<'i64'> {
    const { f } = this;
    const value = f.local('i64');
    this.#access(linear, TLB_ENTRY.read, size, {
      fast: (host) => f.set(value, loadSized(f, host, size)),
      slow: (at) => {
        f.set(value, this.#loadByMmu(at, size));
        this.leaveOnFault();
      },
    });
    return f.narrow(value, size * 8);
  }

  store(linear: I64, size: Size, value: I64): void {
    const { f } = this;
    this.#access(linear, TLB_ENTRY.write, size, {
      fast: (host) => storeSized(f, host, size, value),
      slow: (at) => this.#storeByMmu(at, size, value),
    });
  }

  loadForStore(linear: I64, size: Size): Local<'i64'> {
    const { f } = this;
    const value = f.local('i64');
    this.#access(linear, TLB_ENTRY.write, size, {
      fast: (host) => f.set(value, loadSized(f, this.keepForStore(host), size)),
      slow: (at) => {
        this.keepForStore(I32.const(0));
        this.#probeByMmu(at, size);
        f.set(value, this.#loadByMmu(at, size));
        this.leaveOnFault();
      },
    });
    return f.narrow(value, size * 8);
  }

  storeBack(linear: I64, size: Size, value: I64): void {
    const { f } = this;
    const host = this.keptForStore();
    f.ifLikely(
      host,
      () => storeSized(f, host, size, value),
      () => {
        f.run(this.#mmu.store[size], this.cpu, linear, value);
        this.storedByMmu();
      },
    );
  }

  loadLow(linear: I64, size: 4 | 8): Local<'v128'> {
    const { f } = this;
    const value = f.local('v128');
    this.#access(linear, TLB_ENTRY.read, size, {
      fast: (host) => f.set(value, loadLow(f, host, size)),
      slow: (at) => {
        f.set(value, V128.splatI64(0).replaceI64(0, this.#loadByMmu(at, size)));
        this.leaveOnFault();
      },
    });
    return value;
  }

  storeLow(linear: I64, size: 4 | 8, value: V128): void {
    const { f } = this;
    this.#access(linear, TLB_ENTRY.write, size, {
      fast: (host) => storeLow(f, host, size, value),
      slow: (at) => this.#storeByMmu(at, size, value.extractI64(0)),
    });
  }

  load128(linear: I64): Local<'v128'> {
    const { f } = this;
    const value = f.local('v128');
    this.#access(linear, TLB_ENTRY.read, 16, {
      fast: (host) => f.set(value, f.load128(host)),
      slow: (at) => {
        const low = f.let(this.#loadByMmu(at, 8));
        this.leaveOnFault();
        const high = f.let(this.#loadByMmu(following(f, this.cpu, at, 8), 8));
        this.leaveOnFault();
        f.set(value, V128.splatI64(low).replaceI64(1, high));
      },
    });
    return value;
  }

  store128(linear: I64, value: V128): void {
    const { f, cpu } = this;
    this.#access(linear, TLB_ENTRY.write, 16, {
      fast: (host) => f.store128(host, 0, value),
      slow: (at) => {
        this.#probeByMmu(at, 16);
        const whole = f.let(value);
        f.run(this.#mmu.store[8], cpu, at, whole.extractI64(0));
        this.#storeByMmu(following(f, cpu, at, 8), 8, whole.extractI64(1));
      },
    });
  }

  lockedAccess(kind: LockedKind, linear: I64, size: Size, operand: I64, expected: I64): Local<'i64'> {
    const { f } = this;
    const old = f.call(this.#mmu.locked[size], 'i64', this.cpu, linear, I32.const(LOCKED[kind]), operand, expected);
    const value = f.let(old) as Local<'i64'>;
    this.leaveOnFault();
    this.storedByMmu();
    return value;
  }

  probeWrite(linear: I64, size: number): void {
    this.#access(linear, TLB_ENTRY.write, size, { slow: (at) => this.#probeByMmu(at, size) });
  }

  /** Behind what may have set CPU.fault. */
  protected leaveOnFault(): void {
    this.f.ifRare(this.f.load32(this.cpu, CPU.fault), () => this.leaveForFault());
  }

  #access(linear: I64, tag: number, size: number, { fast, slow }: Ways): void {
    const { f } = this;
    const at = f.let(linear) as Local<'i64'>;
    const entry = f.let(tlbEntry(at, this.tlb()));
    const distance = at.xor(f.load64(entry, tag));
    if (fast === undefined) {
      f.ifRare(distance.geU(4097 - size), () => slow(at));
      return;
    }
    f.ifLikely(
      distance.ltU(4097 - size),
      () => fast(at.wrap().add(f.load32(entry, TLB_ENTRY.host))),
      () => slow(at),
    );
  }

  #hostFor(linear: I64, tag: number): I32 {
    const { f } = this;
    const at = f.let(linear);
    const entry = f.let(tlbEntry(at, this.tlb()));
    const hit = at.xor(f.load64(entry, tag)).ltU(4096);
    return hit.mul(at.wrap().add(f.load32(entry, TLB_ENTRY.host)));
  }

  #loadByMmu(at: I64, size: Size): I64 {
    return this.f.call(this.#mmu.load[size], 'i64', this.cpu, at);
  }

  #storeByMmu(at: I64, size: Size, value: I64): void {
    this.f.run(this.#mmu.store[size], this.cpu, at, value);
    this.leaveOnFault();
    this.storedByMmu();
  }

  #probeByMmu(at: I64, size: number): void {
    this.f.run(this.#mmu.probeWrite, this.cpu, at, I32.const(size));
    this.leaveOnFault();
  }
}
