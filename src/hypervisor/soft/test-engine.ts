/** A vCPU for tests that runs code: the test machine of system/ with an engine, faults and I/O written down. */
import { test } from 'node:test';
import type { Insn } from './decode/insn.ts';
import { OP } from './decode/opcodes.ts';
import { Engine, type EngineHooks, type EngineOptions, type Next } from './engine.ts';
import { NO_MASK, REGION, REGIONS, ramBase, regionEntry } from './layout.ts';
import { CPU } from './state.ts';
import { GuestFault } from './system/cpu-state.ts';
import { execute } from './system/dispatch.ts';
import { isX87 } from './system/fpu-instructions.ts';
import { TestMachine } from './system/test-machine.ts';

/** What engines of the test that runs are made with. */
let threshold = Number.POSITIVE_INFINITY;

/** A test that runs twice: everything interpreted, and everything compiled before it is executed. */
export function engineTest(name: string, body: () => void): void {
  for (const [how, jitThreshold] of [
    ['interpreted', Number.POSITIVE_INFINITY],
    ['compiled', 0],
  ] as const) {
    test(`${name} (${how})`, () => {
      threshold = jitThreshold;
      body();
    });
  }
}

const RAM_SIZE = 2 << 20;
const PAGE = 4096;
const BUDGET = 1_000_000;

export interface Fault {
  readonly vector: number;
  readonly error: number;
  readonly rip: bigint;
  /** Of page faults. */
  readonly address: bigint;
}

/** 2 MiB of RAM at 0. INT3 leaves the engine, and so do faults unless onFault says otherwise. */
export class TestEngine extends TestMachine {
  readonly engine: Engine;
  readonly faults: Fault[] = [];
  /** "r size address" or "w size address value" for each MMIO access, in hexadecimal. */
  readonly mmio: string[] = [];
  fetchedFrom = -1;
  mmioValue = 0n;
  onFault: (fault: Fault) => Next = () => 'leave';
  onExecute: (insn: Insn) => Next | undefined = () => undefined;

  /** `jitThreshold`: see CodeCache. */
  constructor(jitThreshold = threshold, options: EngineOptions = {}) {
    super();
    this.engine = new Engine(this.wasm, 0, this.state, this.#hooks(), { jitThreshold, ...options });
  }

  /** Cuts the RAM into regions: where each starts, and whether it can be written. The rest is no memory. */
  setRegions(regions: readonly { start: number; size: number; readOnly?: boolean; at?: number }[]): void {
    const view = new DataView(this.wasm.buffer);
    view.setUint32(REGIONS, regions.length, true);
    regions.forEach(({ start, size, readOnly, at = start }, i) => {
      const entry = regionEntry(i);
      view.setBigUint64(entry + REGION.start, BigInt(start), true);
      view.setBigUint64(entry + REGION.size, BigInt(size), true);
      view.setUint32(entry + REGION.host, ramBase(1) + at, true);
      view.setUint32(entry + REGION.readOnly, readOnly === true ? 1 : 0, true);
      view.setUint32(entry + REGION.codeMap, ramBase(1) + RAM_SIZE + (at / PAGE) * 8, true);
      view.setUint32(entry + REGION.mask, NO_MASK, true);
    });
    this.state.tlb.flush();
  }

  /** Puts code, as hexadecimal bytes, to a guest physical address. */
  code(gpa: number, hex: string): void {
    const bytes = Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16));
    this.ram.set(bytes, gpa);
    this.told(gpa, bytes.length);
  }

  /** Tells the code cache that bytes were written. */
  told(gpa: number, size: number): void {
    for (let i = 0; i < size; i++) this.engine.code.written(gpa + i, 1);
  }

  /** Runs from `rip` until the engine comes back; gives the budget that was used. */
  go(rip: number | bigint, budget = BUDGET): number {
    this.state.rip = BigInt(rip);
    return this.resume(budget);
  }

  resume(budget = BUDGET): number {
    const { state } = this;
    const used = this.engine.run(budget);
    state.setU32(CPU.attention, 0);
    return used;
  }

  #hooks(): EngineHooks {
    const { state } = this;
    return {
      execute: (insn) => this.#execute(insn),
      fault: (vector, error) => {
        this.faults.push({ vector, error, rip: state.rip, address: state.u64(CPU.faultAddress) });
        return this.onFault(this.faults.at(-1)!);
      },
      exact: () => 0,
      mmioRead: (gpa, size) => {
        this.mmio.push(`r ${size} ${gpa.toString(16)}`);
        state.setU64(CPU.io, this.mmioValue);
      },
      mmioWrite: (gpa, size) => {
        const value = BigInt.asUintN(size * 8, state.u64(CPU.io));
        this.mmio.push(`w ${size} ${gpa.toString(16)} ${value.toString(16)}`);
      },
      portRead: () => {},
      portWrite: () => {},
      timeStamp: () => 0,
      fetchFromNowhere: (gpa) => {
        this.fetchedFrom = gpa;
      },
    };
  }

  #execute(insn: Insn): Next {
    const next = this.onExecute(insn);
    if (next !== undefined) return next;
    if (insn.op === OP.int3 || isX87(insn.op)) return 'leave';
    const done = execute(this, insn);
    return done === 'next' || done === 'jump' ? done : 'leave';
  }

  /** The fault that `body` throws, as "vector:error@address"; undefined: none. */
  faultOf(body: () => void): string | undefined {
    try {
      body();
      return undefined;
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      const address = error.vector === 14 ? `@${this.state.u64(CPU.faultAddress).toString(16)}` : '';
      return `${error.vector}:${error.errorCode.toString(16)}${address}`;
    }
  }
}
