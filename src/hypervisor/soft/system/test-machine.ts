/** A vCPU for tests: its state, the core module's MMU, flat guest memory, and plain devices around it. */
import { ATTR, EFER } from '../architecture.ts';
import { decode } from '../decode/decode.ts';
import { type CodeSize, Insn } from '../decode/insn.ts';
import { coreModule } from '../interpreter/core.ts';
import { NO_MASK, REGION, REGIONS, ramBase } from '../layout.ts';
import { codeSizeOf } from '../modes.ts';
import { CPU } from '../state.ts';
import { type CoreExports, CpuState, GuestFault } from './cpu-state.ts';
import { defaultCpuid } from './cpuid.ts';
import { execute } from './dispatch.ts';
import { reset } from './reset.ts';
import type { Next, SystemCpu } from './system-cpu.ts';

const RAM_SIZE = 2 << 20;
const RAM = ramBase(1);
const CODE_MAP = RAM + RAM_SIZE;
const PAGES = (CODE_MAP + 0x1_0000) >> 16;

let shared: { memory: WebAssembly.Memory; core: CoreExports } | undefined;

/** All machines of a test file use one memory: it is 40 MB. */
function instance(): { memory: WebAssembly.Memory; core: CoreExports } {
  if (shared !== undefined) return shared;
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
  const env: Record<string, WebAssembly.Memory | CallableFunction> = { memory };
  for (const name of ['mmioRead', 'mmioWrite', 'codeWritten', 'exact', 'portRead', 'portWrite', 'timeStamp']) {
    env[name] = () => undefined;
  }
  for (const name of ['deliverFault', 'callout', 'lookup', 'lookUpAgain', 'hot', 'link']) env[name] = () => -1;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(coreModule()), { env });
  shared = { memory, core: exports as unknown as CoreExports };
  return shared;
}

export class TestMachine implements SystemCpu {
  readonly state: CpuState;
  readonly id = 0;
  readonly tscKhz = 2_000_000;
  readonly cpuid = defaultCpuid({ id: 0, vcpus: 1, tscKhz: 2_000_000 });
  readonly fpu = { fxsave: (image: DataView) => image.setUint32(24, 0x1f80, true), fxrstor: () => 0 };
  readonly apic = { msrLow: 0, msrHigh: 0, tpr: 0, readMsr: () => false, writeMsr: () => false };
  readonly clock = { now: () => 5_000_000_000, wallTime: () => 1_700_000_000_000 };
  readonly memory = {
    contains: (gpa: number, length: number) => gpa >= 0 && gpa + length <= RAM_SIZE,
    write: (gpa: number, bytes: Uint8Array) => this.ram.set(bytes, gpa),
  };
  readonly ram: Uint8Array;
  readonly view: DataView;
  readonly wasm: WebAssembly.Memory;
  readonly insn = new Insn();
  tsc = 0x1_2345_6789n;
  tscDeadline = 0n;
  ports: (readonly [port: number, size: number, value: number])[] = [];

  constructor() {
    const { memory, core } = instance();
    new Uint8Array(memory.buffer).fill(0);
    this.wasm = memory;
    this.ram = new Uint8Array(memory.buffer, RAM, RAM_SIZE);
    this.view = new DataView(memory.buffer, RAM, RAM_SIZE);
    this.#addRegion(new DataView(memory.buffer));
    this.state = new CpuState(memory.buffer, 0);
    this.state.core = core;
    this.state.tlb.flush();
    reset(this);
  }

  #addRegion(view: DataView): void {
    view.setUint32(REGIONS, 1, true);
    view.setBigUint64(REGIONS + 8 + REGION.size, BigInt(RAM_SIZE), true);
    view.setUint32(REGIONS + 8 + REGION.host, RAM, true);
    view.setUint32(REGIONS + 8 + REGION.codeMap, CODE_MAP, true);
    view.setUint32(REGIONS + 8 + REGION.mask, NO_MASK, true);
  }

  readTsc(): bigint {
    return this.tsc;
  }

  writeTsc(value: bigint): void {
    this.tsc = value;
  }

  random(): bigint {
    return 0x0123_4567_89ab_cdefn;
  }

  portRead(port: number, size: number): number {
    this.ports.push([port, size, -1]);
    return 0x1122_3344;
  }

  portWrite(port: number, size: number, value: number): void {
    this.ports.push([port, size, value]);
  }

  /** Executes one instruction, given as hexadecimal bytes, as if it stood at RIP. RIP goes on as it would. */
  run(hex: string): Next {
    const bytes = Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16));
    const size: CodeSize = codeSizeOf(this.state.u32(CPU.mode));
    const length = decode(bytes, 0, bytes.length, size, this.insn);
    if (length !== bytes.length) throw new Error(`${hex} does not decode (${length})`);
    const next = execute(this, this.insn);
    if (next === 'next' || next === 'halt') this.state.rip += BigInt(length);
    return next;
  }

  /** The fault that an instruction raises, as "vector:errorCode"; undefined: none. */
  fault(hex: string): string | undefined {
    try {
      this.run(hex);
      return undefined;
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      return `${error.vector}:${error.errorCode.toString(16)}`;
    }
  }

  /** A segment descriptor at `address`: access byte, and flags in bits 12-15 as CpuState has them. */
  putDescriptor(address: number, base: number, limit: number, attributes: number): void {
    const units = (attributes & ATTR.g) !== 0 ? Math.floor(limit / 4096) : limit;
    this.view.setUint32(address, (units & 0xffff) | (base << 16), true);
    const high = ((base >>> 16) & 0xff) | ((attributes & 0xf0ff) << 8) | (units & 0xf_0000) | (base & 0xff00_0000);
    this.view.setUint32(address + 4, high, true);
  }

  /** A gate at `address`: 8 bytes, or 16 with `long`. */
  putGate(address: number, selector: number, offset: bigint, access: number, ist = 0, long = false): void {
    this.view.setUint32(address, Number(offset & 0xffffn) | (selector << 16), true);
    this.view.setUint32(address + 4, Number((offset >> 16n) & 0xffffn) * 0x1_0000 + ((access << 8) | ist), true);
    if (long) this.view.setBigUint64(address + 8, offset >> 32n, true);
  }

  /** Protected mode without paging, flat, at privilege `cpl`. Selectors: 8 code, 10 data; for privilege 3 1b and 23. */
  enterProtected(cpl = 0): void {
    const { state } = this;
    this.putGdt();
    state.setU64(CPU.cr0, 0x11n);
    this.#setSegments(cpl, 0xc09b);
  }

  /** Long mode with the first 2 MiB mapped to themselves, for all privileges. */
  enterLong(cpl = 0): void {
    const { state } = this;
    this.putGdt();
    this.view.setUint32(0x10000, 0x11007, true);
    this.view.setUint32(0x11000, 0x12007, true);
    this.view.setUint32(0x12000, 0x000e7, true);
    state.setU64(CPU.cr3, 0x10000n);
    state.setU64(CPU.cr4, 0x6a0n);
    state.setU64(CPU.efer, BigInt(EFER.lme | EFER.lma | EFER.sce | EFER.nxe));
    state.setU64(CPU.cr0, 0x8001_0011n);
    this.#setSegments(cpl, 0xa09b);
  }

  #setSegments(cpl: number, code: number): void {
    const { state } = this;
    const dpl = cpl << 5;
    state.setSegment(1, cpl === 0 ? 8 : 0x1b, 0n, 0xffff_ffff, code | dpl);
    for (const n of [0, 2, 3, 4, 5]) {
      state.setSegment(n, cpl === 0 ? 0x10 : 0x23, 0n, 0xffff_ffff, 0xc093 | dpl);
    }
    state.setCpl(cpl);
    state.rip = 0x5000n;
    state.setReg(4, 0x8000n);
    state.tlb.flush();
    state.updateMode();
  }

  /**
   * GDT at 1000: 8 code, 10 data, 18 user code, 20 user data (all 32-bit), 28 64-bit code, 30 TSS (two entries), 40
   * 64-bit user code, 48 data that is not present, 50 execute-only code, 58 conforming code, 60 read-only data, 68
   * 16-bit data. IDT at 2000, TSS at 3000.
   */
  putGdt(): void {
    const { state } = this;
    const long = 0xffff_ffff;
    const rows: readonly [selector: number, base: number, limit: number, attributes: number][] = [
      [0x08, 0, long, 0xc09a],
      [0x10, 0, long, 0xc092],
      [0x18, 0, long, 0xc0fa],
      [0x20, 0, long, 0xc0f2],
      [0x28, 0, long, 0xa09a],
      [0x30, 0x3000, 0x67 + 0x20, 0x89],
      [0x40, 0, long, 0xa0fa],
      [0x48, 0, long, 0xc012],
      [0x50, 0, long, 0xc098],
      [0x58, 0, long, 0xc09e],
      [0x60, 0, long, 0xc090],
      [0x68, 0x4000, 0xfff, 0x0092],
    ];
    for (const [selector, base, limit, attributes] of rows) {
      this.putDescriptor(0x1000 + selector, base, limit, attributes);
    }
    state.setU64(CPU.gdtrBase, 0x1000n);
    state.setU32(CPU.gdtrLimit, 0x7f);
    state.setU64(CPU.idtrBase, 0x2000n);
    state.setU32(CPU.idtrLimit, 0xfff);
    state.setSegment(7, 0x30, 0x3000n, 0x87, 0x8b);
  }
}
