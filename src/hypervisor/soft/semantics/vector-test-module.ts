/** For tests: vector semantics as functions of a WebAssembly module, with their operands at fixed places. */
import { SseExact } from '../fpu/sse-exact.ts';
import { CPU, MMX_FIRST, SLOT, XMM_TEMP } from '../state.ts';
import { I32, type I32Like, type I64, type V128 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder } from '../wasm/function-builder.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import type { Operand } from './emit.ts';
import { Flags, type Size, signExtend, zeroExtend } from './flags.ts';
import { NO_FACTS } from './float-facts.ts';
import { defineRareFunctions, RARE_STATUS, type RareFunctions } from './float-rare.ts';
import type { VectorCase } from './vector-cases.ts';
import type { VectorEmit, VectorForm } from './vector-op.ts';

/** Where the vCPU's block lies. */
export const CPU_BLOCK = 1024;

/** The registers of vector-cases.ts as Emit.exact() passes them: a slot, or a number of a vector. */
export function place(form: VectorForm, operand: Operand): number {
  const file = form.files[operand === 'a' ? 0 : 1];
  const first = operand === 'a';
  if (file === 'g') return form.memory === operand ? SLOT.t1 : first ? SLOT.rbx : SLOT.rsi;
  if (form.memory === operand) return XMM_TEMP;
  if (file === 'm') return MMX_FIRST + (first ? 0 : 1);
  return first ? 1 : 2;
}

class TestEmit implements VectorEmit {
  readonly f: FunctionBuilder;
  readonly cpu = I32.const(CPU_BLOCK);
  readonly flags: Flags;
  readonly #form: VectorForm;
  readonly #imm: I32;
  readonly #exact: Callable;
  readonly #rare: RareFunctions;
  readonly floats = NO_FACTS;

  constructor(f: FunctionBuilder, form: VectorForm, imm: I32, exact: Callable, rare: RareFunctions) {
    this.f = f;
    this.flags = new Flags(f, this.cpu);
    this.#form = form;
    this.#imm = imm;
    this.#exact = exact;
    this.#rare = rare;
  }

  get(operand: Operand, size: Size): I64 {
    return zeroExtend(this.f.load64(this.cpu, place(this.#form, operand)), size);
  }

  getSigned(operand: Operand, size: Size): I64 {
    return signExtend(this.f.load64(this.cpu, place(this.#form, operand)), size);
  }

  set(operand: Operand, size: Size, value: I64): void {
    this.setSlot(place(this.#form, operand), size, value);
  }

  getSlot(slot: number, size: Size): I64 {
    return zeroExtend(this.f.load64(this.cpu, slot), size);
  }

  setSlot(slot: number, size: Size, value: I64): void {
    if (size === 1) this.f.store8of64(this.cpu, slot, value);
    else if (size === 2) this.f.store16of64(this.cpu, slot, value);
    else this.f.store64(this.cpu, slot, zeroExtend(value, size));
  }

  exactInstead(op: number): void {
    this.exact(op);
    this.f.return();
  }

  rareFloat(bytes: 4 | 8, kind: I32Like, active: number, x: V128, y: V128): I32 {
    const rare = this.#rare[bytes];
    return this.f.call(rare, 'i32', this.cpu, I32.of(kind), I32.const(active), x, y).and(RARE_STATUS.left);
  }

  imm32(): I32 {
    return this.#imm;
  }

  knownImm(): undefined {
    return undefined;
  }

  vectorRegister(number: number): V128 {
    return this.f.load128(this.cpu, CPU.xmm + 16 * number);
  }

  setVectorRegister(number: number, value: V128): void {
    this.f.store128(this.cpu, CPU.xmm + 16 * number, value);
  }

  vector(operand: Operand): V128 {
    return this.f.load128(this.cpu, CPU.xmm + 16 * place(this.#form, operand));
  }

  setVector(operand: Operand, value: V128): void {
    const at = CPU.xmm + 16 * place(this.#form, operand);
    if (this.#form.files.startsWith('m')) this.f.store64(this.cpu, at, value.extractI64(0));
    else this.f.store128(this.cpu, at, value);
  }

  exact(op: number): void {
    const [a, b] = [place(this.#form, 'a'), place(this.#form, 'b')];
    const fault = this.f.call(this.#exact, 'i32', I32.const(op), I32.const(a), I32.const(b), this.#imm);
    this.f.store32(this.cpu, CPU.fault, fault);
    this.f.if(this.f.load32(this.cpu, CPU.fault), () => this.f.return());
  }
}

export interface TestModule {
  /** The whole memory. */
  readonly view: DataView;
  /** Runs case number i with an immediate. A fault is in CPU.fault. */
  run(i: number, imm: number): void;
  /** How often TypeScript was asked. */
  exactCalls(): number;
}

export function buildTestModule(cases: readonly VectorCase[]): TestModule {
  const m = new ModuleBuilder();
  const exactImport = m.importFunction('exact', ['i32', 'i32', 'i32', 'i32'], ['i32']);
  const rare = defineRareFunctions(m);
  cases.forEach(({ op, form }, i) => {
    m.func(['i32'], [], (f, imm) => op.emit(new TestEmit(f, form, imm, exactImport, rare), form), String(i));
  });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const view = new DataView(memory.buffer);
  const sse = new SseExact(view, CPU_BLOCK);
  let calls = 0;
  const exact = (code: number, a: number, b: number, imm: number) => {
    calls++;
    return sse.execute(code, a, b, imm);
  };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory, exact } });
  return { view, run: (i, imm) => instance.exports[String(i)]!(imm), exactCalls: () => calls };
}
