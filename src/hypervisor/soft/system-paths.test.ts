/**
 * What is quick in WebAssembly (system calls, returns, deliveries, system registers) against TypeScript's general way, from
 * random states: usual ones, and each with something in it that the quick way must notice.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { FLAG } from './architecture.ts';
import { OP } from './decode/opcodes.ts';
import { Random } from './semantics/vector-cases.ts';
import { CPU } from './state.ts';
import type { CpuState } from './system/cpu-state.ts';
import { deliver, type EventKind } from './system/exceptions.ts';
import { engineTest, TestEngine } from './test-engine.ts';

const CODE = 0x5000;
/** A page of INT3, where what jumps arrives. */
const TARGET = 0x6000n;
const STACK_PAGE = 0x9000n;
const MISSING_PAGE = 0xb000n;
const NON_CANONICAL = 0x8000_0000_0000n;
const ROUNDS = 100;
/** Memory that instructions change, without and with the paging structures, which fetches change as well. */
const COMPARED = 0x10000;
const CHANGED = 0x18000;
const [RAX, RCX, RDX, RBX, RSP, RSI, R11] = [0, 1, 2, 3, 4, 6, 11];

const CODE_SELECTORS = [0, 3, 0x1b, 8, 0x2b, 0x40, 0x10, 0x7b8, 0x2c, 0x5b, 0x41];
const STACK_SELECTORS = [0x10, 0x23, 0, 3, 0x13, 0x20, 0x60, 0x48, 0x14, 0x7b8];

class Trial {
  readonly m = new TestEngine();
  readonly random: Random;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  /** A random state in long mode; most are usual. */
  prepare(): void {
    const { m } = this;
    m.enterLong(this.rarely() ? 3 : 0);
    m.view.setUint32(0x12000, 0x13007, true);
    for (let page = 0; page < 512; page++) {
      m.view.setUint32(0x13000 + page * 8, BigInt(page << 12) === MISSING_PAGE ? 0 : (page << 12) | 7, true);
    }
    if (!this.rarely()) for (let at = 0x1008; at < 0x1070; at += 8) m.ram[at + 5]! |= 1; // accessed
    m.state.tlb.flush();
    for (let n = 0; n < 16; n++) if (n !== RSP) m.state.setReg(n, this.bits64());
    m.state.setReg(RSP, this.pick([STACK_PAGE + 0x800n, STACK_PAGE + 0x801n]));
    for (const n of [0, 3, 4, 5]) m.state.setSegment(n, 0, this.pick([0n, 0x1234_0000n]), 0, 0);
    if (this.rarely()) m.state.setSegment(4, 0x10, 0n, 0xffff_ffff, 0xc093);
    m.state.rflags = this.flags();
    if (this.rarely()) m.state.setU32(CPU.nmiBlocked, 1);
    m.state.setU64(CPU.lstar, TARGET);
    m.state.setU64(CPU.star, 0x0033_0028_0000_0000n);
    m.state.setU64(CPU.sfmask, this.pick([0n, 0x4_7700n, 0x25_7fd5n]));
    m.state.setU64(CPU.kernelGsBase, this.bits64());
    m.state.setU64(CPU.tscAux, this.bits64() >> 32n);
    if (this.rarely()) m.state.setU64(CPU.efer, m.state.u64(CPU.efer) & ~1n);
    if (this.rarely()) m.state.setU64(CPU.cr4, m.state.u64(CPU.cr4) | 4n); // TSD
    m.tsc = 0n;
    m.state.updateMode();
  }

  flags(): number {
    let flags = this.random.next() & (0x8d5 | FLAG.if | FLAG.df | FLAG.ac | FLAG.id);
    for (const rare of [FLAG.tf, FLAG.nt, FLAG.iopl, FLAG.rf]) if (this.rarely()) flags |= rare;
    return flags | 2;
  }

  rarely(): boolean {
    return this.random.next() % 12 === 0;
  }

  pick<T>(values: readonly T[]): T {
    return this.random.pick(values);
  }

  bits64(): bigint {
    return this.random.u64();
  }

  /** Executes the instruction both ways and compares. */
  compare(hex: string): void {
    const { m } = this;
    m.code(CODE, `${hex} cc`);
    m.ram.fill(0xcc, Number(TARGET), Number(TARGET) + 0x100);
    const memory = m.ram.slice(0, CHANGED);
    const block = m.state.bytes.slice(m.state.block, m.state.block + 2500);
    m.state.rip = BigInt(CODE);
    const fault = m.fault(hex);
    const expected = this.outcome(fault);

    m.ram.set(memory, 0);
    m.state.bytes.set(block, m.state.block);
    m.state.tlb.flush();
    m.state.updateMode();
    m.faults.length = 0;
    m.go(CODE);
    const met = m.faults[0];
    assert.deepEqual(this.outcome(met && `${met.vector}:${met.error.toString(16)}`), expected);
  }

  /** All that the guest could see. */
  outcome(fault: string | undefined): unknown {
    const { state, ram } = this.m;
    const words = [CPU.cpl, CPU.mode, CPU.tlb, CPU.nmiBlocked, CPU.gdtrLimit].map((field) => state.u32(field));
    const tags = [CPU.jumpTagLow, CPU.jumpTagHigh].map((field) => state.u32(field) & 0x8000_007f);
    const wide = [CPU.cr0, CPU.cr2, CPU.cr3, CPU.cr4, CPU.kernelGsBase, CPU.efer].map((field) => state.u64(field));
    return {
      fault,
      rip: state.rip,
      registers: Array.from({ length: 16 }, (_, n) => state.reg(n)),
      flags: state.rflags,
      segments: Array.from({ length: 8 }, (_, n) => segment(state, n)),
      state: [...words, ...tags, ...wide],
      memory: createHash('sha1').update(ram.subarray(0, COMPARED)).digest('hex'),
    };
  }
}

function segment(state: CpuState, n: number): unknown[] {
  return [state.selector(n), state.segmentBase(n), state.segmentLimit(n), state.segmentAttributes(n)];
}

function trials(name: string, hex: string, vary: (t: Trial, state: CpuState) => void): void {
  engineTest(name, () => {
    const t = new Trial(hex.length * 7919 + name.length);
    let slow = 0;
    t.m.onExecute = ({ op }) => {
      if (op !== OP.int3) slow++;
      return undefined;
    };
    for (let round = 0; round < ROUNDS; round++) {
      t.prepare();
      vary(t, t.m.state);
      t.compare(hex);
    }
    assert.ok(slow < ROUNDS * 0.8, `TypeScript executed ${slow} of ${ROUNDS}`);
  });
}

trials('IRETQ does what TypeScript does', '48 cf', (t, state) => {
  const cs = t.pick([0x28, 0x43, 0x28, 0x43, t.pick(CODE_SELECTORS)]);
  const usualStack = (cs & 3) === 3 ? 0x23 : t.pick([0x10, 0]);
  const frame = [
    t.rarely() ? NON_CANONICAL : TARGET,
    BigInt(cs) | (t.rarely() ? t.bits64() << 16n : 0n),
    BigInt(t.flags()) | (t.rarely() ? BigInt(FLAG.vm) : 0n),
    t.rarely() ? NON_CANONICAL : STACK_PAGE,
    BigInt(t.rarely() ? t.pick(STACK_SELECTORS) : usualStack),
  ];
  const rsp = t.rarely() ? t.pick([MISSING_PAGE - 16n, NON_CANONICAL, NON_CANONICAL - 24n]) : STACK_PAGE + 0xfe8n;
  state.setReg(RSP, rsp);
  frame.forEach((value, n) => {
    const at = Number(rsp) + 8 * n;
    if (at + 8 <= COMPARED) t.m.view.setBigUint64(at, BigInt.asUintN(64, value), true);
  });
  if (t.rarely()) state.setU32(CPU.gdtrLimit, 0x2f);
});

trials('SYSCALL does what TypeScript does', '0f 05', (t, state) => {
  if (t.rarely()) state.setU64(CPU.star, t.bits64());
});

trials('SYSRET does what TypeScript does', '48 0f 07', (t, state) => {
  state.setReg(RCX, t.rarely() ? NON_CANONICAL : TARGET);
  state.setReg(R11, BigInt(t.flags()) | (t.bits64() << 32n));
});

trials('SWAPGS does what TypeScript does', '0f 01 f8', () => {});

const MSRS = [0xc000_0100n, 0xc000_0101n, 0xc000_0102n, 0xc000_0102n, 0xc000_0103n, 0xc000_00ffn, 0x9999n];
trials('RDMSR does what TypeScript does', '0f 32', (t, state) => {
  state.setReg(RCX, t.pick(MSRS) | (t.bits64() << 32n));
});
trials('WRMSR does what TypeScript does', '0f 30', (t, state) => {
  state.setReg(RCX, t.pick(MSRS) | (t.bits64() << 32n));
  if (!t.rarely()) state.setReg(RDX, t.pick([0n, 0x7fffn, 0xffff_8000n]));
});

for (const [n, hex] of Object.entries({ 0: '0f 20 c0', 2: '41 0f 20 d1', 3: '0f 20 d8', 4: '0f 20 e6' })) {
  trials(`MOV from CR${n} does what TypeScript does`, hex, () => {});
}
trials('MOV to CR2 does what TypeScript does', '0f 22 d6', () => {});
trials('MOV to CR3 does what TypeScript does', '0f 22 de', (t, state) => {
  state.setReg(RSI, t.rarely() ? 0x4000_0000_0000n + 0x10000n : t.pick([0x10000n, 0x10018n]));
});
trials('INVLPG does what TypeScript does', '0f 01 3e', () => {});
trials('RDTSCP does what TypeScript does', '0f 01 f9', () => {});

for (const hex of ['8c d8', '66 8c d0', '48 8c c9', '8c 3c 25 00 90 00 00'].filter(
  (text) => !text.startsWith('8c 3c'),
)) {
  trials(`MOV from a segment register (${hex}) does what TypeScript does`, hex, () => {});
}
for (const hex of ['8e d8', '8e c0', '8e e0', '8e e8']) {
  trials(`MOV to a segment register (${hex}) does what TypeScript does`, hex, (t, state) => {
    state.setReg(RAX, (t.bits64() << 16n) | BigInt(t.pick([0, 0, 0, 3, 0x10, 0x23, 0x28, 0x7b8])));
  });
}

for (const hex of ['0f 00 e8', '0f 00 2c 25 00 90 00 00']) {
  trials(`VERW (${hex}) does what TypeScript does`, hex, (t, state) => {
    const selector = t.pick([0x10, 0x10, 0x10, 0x10, 0x10, t.pick(STACK_SELECTORS)]);
    state.setReg(RAX, BigInt(selector) | (t.bits64() << 16n));
    t.m.view.setUint16(Number(STACK_PAGE), selector, true);
  });
}

trials('CMPXCHG16B does what TypeScript does', '48 0f c7 0e', (t, state) => {
  const at = t.rarely() ? t.pick([STACK_PAGE + 8n, MISSING_PAGE, NON_CANONICAL]) : STACK_PAGE + 0x20n;
  state.setReg(RSI, at);
  state.setReg(RBX, t.bits64());
  if (t.rarely()) return;
  const [low, high] = [t.bits64(), t.bits64()];
  t.m.view.setBigUint64(Number(STACK_PAGE) + 0x20, low, true);
  t.m.view.setBigUint64(Number(STACK_PAGE) + 0x28, high, true);
  if (!t.rarely()) state.setReg(RAX, low);
  if (!t.rarely()) state.setReg(RDX, high);
});

// -- deliveries

const HANDLER = TARGET;
const VECTORS = [0, 1, 2, 6, 8, 13, 14, 14, 14, 17, 32, 200];

/** Gates for all vectors, and stacks in the TSS; one or the other is broken now and then. */
function prepareTables(t: Trial): void {
  const { m } = t;
  for (let vector = 0; vector < 256; vector++) {
    const selector = t.rarely() ? t.pick(CODE_SELECTORS) : t.pick([0x28, 0x28, 0x2b]);
    const offset = t.rarely() ? NON_CANONICAL : HANDLER;
    const access = t.rarely() ? t.pick([0x0e, 0x8c, 0x9e, 0x85]) : t.pick([0x8e, 0x8f, 0xee]);
    m.putGate(0x2000 + vector * 16, selector, offset, access, t.rarely() ? t.pick([1, 2, 7]) : 0, true);
  }
  const stacks = [STACK_PAGE + 0x500n, STACK_PAGE + 0x508n, STACK_PAGE + 0x10n, MISSING_PAGE + 8n, NON_CANONICAL];
  for (const at of [4, 36, 44, 84]) m.view.setBigUint64(0x3000 + at, t.rarely() ? t.pick(stacks) : stacks[0]!, true);
  if (t.rarely()) m.state.setU32(CPU.idtrLimit, 0x6f);
  if (t.rarely()) m.state.setSegment(7, 0x30, 0x3000n, 0x20, 0x8b);
}

engineTest('faults, interrupts and NMIs are delivered as by TypeScript', () => {
  const t = new Trial(77);
  const { m } = t;
  const quick = m.state.core;
  const slow = { ...quick, deliver: () => 0 };
  let quickOnes = 0;
  for (let round = 0; round < 8 * ROUNDS; round++) {
    t.prepare();
    prepareTables(t);
    if (t.random.next() % 2 === 0) m.state.setCpl(3);
    m.state.setReg(RSP, t.rarely() ? t.pick([MISSING_PAGE + 0x28n, NON_CANONICAL]) : m.state.reg(RSP));
    m.state.setU64(CPU.faultAddress, t.bits64());
    m.state.rip = BigInt(CODE);
    m.state.updateMode();
    const kind: EventKind = t.pick(['fault', 'fault', 'interrupt', 'nmi']);
    const event = { vector: t.pick(VECTORS), errorCode: t.random.next() & 0x1f, kind };
    const memory = m.ram.slice(0, CHANGED);
    const block = m.state.bytes.slice(m.state.block, m.state.block + 2500);

    m.state.core = slow;
    const expected = [deliver(m, event), t.outcome(undefined)];
    m.ram.set(memory, 0);
    m.state.bytes.set(block, m.state.block);
    m.state.tlb.flush();
    m.state.updateMode();
    m.state.core = {
      ...quick,
      deliver: (...words) => {
        const done = quick.deliver(...words);
        quickOnes += done;
        return done;
      },
    };
    assert.deepEqual([deliver(m, event), t.outcome(undefined)], expected);
    m.state.core = quick;
  }
  assert.ok(quickOnes > ROUNDS, `${quickOnes} were quick`);
});
