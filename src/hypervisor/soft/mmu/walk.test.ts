import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR0, CR4, EFER } from '../architecture.ts';
import { CPU } from '../state.ts';
import { TestEngine } from '../test-engine.ts';
import { ACCESS, NON_CANONICAL } from './walk.ts';

const P = 1n;
const W = 2n;
const U = 4n;
const A = 0x20n;
const D = 0x40n;
const LARGE = 0x80n;
const NX = 1n << 63n;
const TABLES = [0x10000, 0x11000, 0x12000, 0x13000] as const;
const PAGE = 0x20000n;
const RESERVED = 9;
const KINDS = [ACCESS.read, ACCESS.write, ACCESS.fetch].flatMap((kind) => [kind, kind | ACCESS.user]);

interface Mode {
  readonly cr0?: number;
  readonly cr3?: bigint;
  readonly cr4?: number;
  readonly efer?: number;
}

function machine({ cr0 = CR0.wp, cr3 = 0x10000n, cr4 = CR4.pae, efer = EFER.nxe | EFER.lma }: Mode = {}): TestEngine {
  const m = new TestEngine();
  setMode(m, { cr0, cr3, cr4, efer });
  return m;
}

function setMode(
  { state }: TestEngine,
  { cr0 = CR0.wp, cr3 = 0x10000n, cr4 = CR4.pae, efer = EFER.nxe | EFER.lma }: Mode,
) {
  state.setU64(CPU.cr0, BigInt((cr0 | CR0.pg | CR0.pe) >>> 0));
  state.setU64(CPU.cr3, cr3);
  state.setU64(CPU.cr4, BigInt(cr4));
  state.setU64(CPU.efer, BigInt(efer));
  state.tlb.flush();
}

const put = (m: TestEngine, table: number, index: number, entry: bigint) =>
  m.view.setBigUint64(table + index * 8, entry, true);
const put32 = (m: TestEngine, table: number, index: number, entry: number) =>
  m.view.setUint32(table + index * 4, entry, true);
const get = (m: TestEngine, table: number, index = 0) => m.view.getBigUint64(table + index * 8, true);

/** Entries 0 of the tables on the way to PAGE, which is at linear address 0. */
function chain(m: TestEngine, flags: readonly bigint[], levels = TABLES.length): void {
  for (let i = 0; i < levels; i++) {
    const next = i + 1 < levels ? BigInt(TABLES[i + 1]!) : PAGE;
    put(m, TABLES[i]!, 0, next | flags[i]!);
  }
}

/** The physical address in hexadecimal, or "vector:error" of the fault. */
function walk({ state }: TestEngine, va: bigint, access: number): string {
  const host = state.core.translate(state.block, BigInt.asIntN(64, va), access);
  const fault = state.u32(CPU.fault);
  state.setU32(CPU.fault, 0);
  if (fault === 0) {
    assert.notEqual(host, -1);
    // Hits of the TLB leave no address.
    return state.u64(CPU.scratch).toString(16);
  }
  assert.equal(host, -1);
  if (fault - 1 === 14) assert.equal(state.u64(CPU.faultAddress), BigInt.asUintN(64, va));
  return `${fault - 1}:${state.u32(CPU.faultError).toString(16)}`;
}

const fresh = (m: TestEngine, va: bigint, access: number) => {
  m.state.tlb.flush();
  return walk(m, va, access);
};
const pf = (error: number) => `14:${error.toString(16)}`;

test('permissions: every combination of U, W and NX at each of the four levels', () => {
  const m = machine();
  for (const [wp, nxe] of [
    [0, 0],
    [1, 0],
    [0, 1],
    [1, 1],
  ] as const) {
    setMode(m, { cr0: wp === 1 ? CR0.wp : 0, efer: EFER.lma | (nxe === 1 ? EFER.nxe : 0) });
    for (let bits = 0; bits < 4096; bits++) {
      const flags = TABLES.map((_, i) => {
        const b = BigInt(bits >> (i * 3));
        return P | ((b & 1n) * W) | (((b >> 1n) & 1n) * U) | (((b >> 2n) & 1n) * NX);
      });
      chain(m, flags);
      const all = flags.reduce((x, y) => x & y);
      const some = flags.reduce((x, y) => x | y);
      for (const access of KINDS) {
        const user = (access & ACCESS.user) !== 0;
        const write = (access & ACCESS.write) !== 0;
        const fetch = (access & ACCESS.fetch) !== 0;
        const asked = (access & 6) | (fetch && nxe === 1 ? 16 : 0);
        const denied =
          (user && (all & U) === 0n) ||
          (write && (user || wp === 1) && (all & W) === 0n) ||
          (fetch && (some & NX) !== 0n);
        const expected =
          (some & NX) !== 0n && nxe === 0 ? pf(asked | RESERVED) : denied ? pf(asked | 1) : PAGE.toString(16);
        // Faults of reads leave no TLB entry, and the others do not look there.
        if (access <= ACCESS.user) m.state.tlb.invalidatePage(0n);
        const got = walk(m, 0n, access);
        if (got !== expected) assert.equal(got, expected, `${bits.toString(8)} access ${access} WP ${wp} NXE ${nxe}`);
      }
    }
  }
});

test('pages of 4 KiB, 2 MiB and 1 GiB', () => {
  const m = machine();
  const base = 0xffff_8080_4060_1000n; // indices 257, 1, 3, 1
  put(m, TABLES[0], 257, BigInt(TABLES[1]) | 7n);
  put(m, TABLES[1], 1, BigInt(TABLES[2]) | 7n);
  put(m, TABLES[2], 3, BigInt(TABLES[3]) | 7n);
  put(m, TABLES[3], 1, 0x1f_f000n | 7n);
  assert.equal(fresh(m, base + 0xabcn, 0), '1ffabc');
  put(m, TABLES[2], 3, 0x2000_0000_0000n | LARGE | 7n);
  assert.equal(fresh(m, base + 0xabcn, 0), '200000001abc');
  put(m, TABLES[1], 1, 0x3fff_c000_0000n | LARGE | 7n);
  assert.equal(fresh(m, base + 0xabcn, 0), '3fffc0601abc');
});

test('reserved bits at each level, of pages of each size, before permissions', () => {
  const m = machine();
  for (let level = 0; level < 4; level++) {
    for (const bit of [46n, 47n, 51n]) {
      const flags = TABLES.map((_, i) => P | (i === level ? 1n << bit : 0n));
      chain(m, flags);
      assert.equal(fresh(m, 0n, ACCESS.user | ACCESS.write), pf(6 | RESERVED), `level ${level} bit ${bit}`);
    }
    // Ignored, or PAT and G.
    for (const bit of level === 3 ? [7n, 8n, 9n, 52n, 62n] : [8n, 9n, 52n, 62n]) {
      chain(
        m,
        TABLES.map((_, i) => 7n | (i === level ? 1n << bit : 0n)),
      );
      assert.equal(fresh(m, 0n, ACCESS.user), PAGE.toString(16), `level ${level} bit ${bit}`);
    }
  }
  chain(m, [7n | LARGE, 7n, 7n, 7n]);
  assert.equal(fresh(m, 0n, 0), pf(RESERVED));
  for (const [level, last] of [
    [1, 29n],
    [2, 20n],
  ] as const) {
    chain(m, [7n, 7n, 7n, 7n]);
    for (let bit = 12n; bit <= last; bit++) {
      put(m, TABLES[level], 0, P | LARGE | (1n << bit));
      // Neither user nor writable: the reserved bit comes first.
      assert.equal(fresh(m, 0n, 6), bit === 12n ? pf(7) : pf(6 | RESERVED), `level ${level} bit ${bit}`);
    }
  }
});

test('an entry that is not present faults, whatever its other bits are', () => {
  const m = machine();
  for (let level = 0; level < 4; level++) {
    chain(
      m,
      TABLES.map((_, i) => (i === level ? 0xffff_ffff_ffff_fffen : 7n)),
    );
    for (const access of KINDS) assert.equal(fresh(m, 0n, access), pf(access));
  }
});

test('accessed bits of all levels and the dirty bit of the leaf are set by what was allowed, and only then', () => {
  for (const [leaf, large] of [
    [3, 0n],
    [2, LARGE],
    [1, LARGE],
  ] as const) {
    const m = machine();
    const prepare = (flags: bigint) => {
      chain(m, [7n, 7n, 7n, 7n]);
      put(m, TABLES[leaf], 0, flags | large);
    };
    prepare(7n);
    fresh(m, 0n, ACCESS.user);
    for (let i = 0; i < leaf; i++) assert.equal(get(m, TABLES[i]!) & 0xfffn, 7n | A);
    assert.equal(get(m, TABLES[leaf]), 7n | large | A);
    walk(m, 0n, ACCESS.write | ACCESS.user);
    assert.equal(get(m, TABLES[leaf]), 7n | large | A | D);
    for (let i = 0; i < leaf; i++) assert.equal(get(m, TABLES[i]!) & 0xfffn, 7n | A);
    prepare(5n);
    assert.equal(fresh(m, 0n, ACCESS.write), pf(3));
    assert.equal(get(m, TABLES[leaf]), 5n | large);
    prepare(7n);
    fresh(m, 0n, ACCESS.fetch);
    assert.equal(get(m, TABLES[leaf]), 7n | large | A);
  }
});

test('tables in read-only memory work, and stay as they are', () => {
  const m = machine();
  chain(m, [7n, 7n, 7n, 7n]);
  m.setRegions([
    { start: 0, size: 0x10000 },
    { start: 0x10000, size: 0x4000, readOnly: true },
    { start: 0x14000, size: 0x1e_c000 },
  ]);
  assert.equal(fresh(m, 0n, ACCESS.write), PAGE.toString(16));
  for (const table of TABLES) assert.equal(get(m, table) & 0xfffn, 7n);
});

test('tables outside memory are not present; a table that maps itself is walked', () => {
  const m = machine({ cr3: 0x4000_0000n });
  assert.equal(fresh(m, 0n, 0), pf(0));
  const self = machine();
  put(self, TABLES[0], 511, BigInt(TABLES[0]) | 3n);
  put(self, TABLES[0], 0, 0x3f00_0000_0000n | 7n);
  assert.equal(fresh(self, 0xffff_ffff_ffff_fff8n, 0), '10ff8');
  assert.equal(get(self, TABLES[0], 511), BigInt(TABLES[0]) | 3n | A);
  assert.equal(fresh(self, 0xffff_ffff_ffff_f000n, ACCESS.user), pf(5));
  assert.equal(fresh(self, 0n, ACCESS.user), pf(4));
});

test('addresses outside the canonical halves are no page faults', () => {
  const m = machine();
  for (const va of [0x8000_0000_0000n, 0xffff_7fff_ffff_ffffn, 0x7fff_0000_0000_0000n, 0x1_0000_0000_0000n]) {
    assert.equal(fresh(m, va, ACCESS.write), `${NON_CANONICAL}:0`);
  }
  assert.equal(fresh(m, 0x7fff_ffff_ffffn, 0), pf(0));
  assert.equal(fresh(m, 0xffff_8000_0000_0000n, 0), pf(0));
});

test('CR3: the low bits are no address', () => {
  const m = machine({ cr3: 0x10fffn });
  chain(m, [7n, 7n, 7n, 7n]);
  assert.equal(fresh(m, 0x123n, 0), '20123');
  setMode(m, { cr3: 0xffff_ffff_0001_003fn, efer: 0 });
  put(m, 0x10020, 0, 0x12000n | P);
  put(m, TABLES[2], 0, 0x13000n | 7n);
  put(m, TABLES[3], 0, PAGE | 7n);
  assert.equal(fresh(m, 0x123n, 0), '20123');
});

test('PAE: four pointers without permissions, tables with them, reserved bits up to 62', () => {
  const m = machine({ efer: EFER.nxe });
  const va = 0xc060_1000n; // 3, 3, 1
  put(m, TABLES[0], 3, BigInt(TABLES[1]) | P);
  put(m, TABLES[1], 3, BigInt(TABLES[2]) | 7n);
  put(m, TABLES[2], 1, PAGE | 7n);
  for (const access of KINDS) assert.equal(fresh(m, va, access), PAGE.toString(16));
  assert.equal(get(m, TABLES[0], 3), BigInt(TABLES[1]) | P);
  // Linear addresses have 32 bits.
  m.state.tlb.flush();
  assert.equal(m.state.core.translate(m.state.block, 0x7_c060_1000n, ACCESS.write) !== -1, true);
  for (const bit of [46n, 52n, 62n]) {
    put(m, TABLES[2], 1, PAGE | 7n | (1n << bit));
    assert.equal(fresh(m, va, ACCESS.fetch), pf(16 | RESERVED), `bit ${bit}`);
  }
  put(m, TABLES[2], 1, PAGE | 7n | NX);
  assert.equal(fresh(m, va, ACCESS.fetch), pf(17));
  put(m, TABLES[1], 3, 0x40_0000n | LARGE | 5n);
  assert.equal(fresh(m, va, ACCESS.user), '401000');
  assert.equal(fresh(m, va, ACCESS.write), pf(3));
  put(m, TABLES[1], 3, 0x40_0000n | LARGE | 7n | (1n << 20n));
  assert.equal(fresh(m, va, 0), pf(RESERVED));
});

test('32-bit paging: 4 KiB pages, 4 MiB pages with CR4.PSE, PSE-36', () => {
  const m = machine({ cr4: 0, efer: 0 });
  const va = 0x0080_1abcn; // 2, 1
  put32(m, TABLES[0], 2, TABLES[1] | 7);
  put32(m, TABLES[1], 1, Number(PAGE) | 7);
  for (const access of KINDS) assert.equal(fresh(m, va, access), '20abc');
  put32(m, TABLES[0], 2, TABLES[1] | 0x87); // PS is ignored
  assert.equal(fresh(m, va, 0), '20abc');
  setMode(m, { cr4: CR4.pse, efer: 0 });
  put32(m, TABLES[0], 2, 0x00c0_0087);
  assert.equal(fresh(m, va, 0), 'c01abc');
  assert.equal(m.view.getUint32(TABLES[0] + 8, true), 0x00c0_00a7);
  put32(m, TABLES[0], 2, 0x00df_f087);
  assert.equal(fresh(m, va, ACCESS.write), 'ff00c01abc');
  put32(m, TABLES[0], 2, 0x00e0_0081);
  assert.equal(fresh(m, va, ACCESS.user), pf(4 | RESERVED));
});

test('32-bit paging: permissions at both levels, and fetches are reads even with NXE', () => {
  const m = machine({ cr4: CR4.pse, efer: EFER.nxe });
  for (let bits = 0; bits < 16; bits++) {
    const flags = [bits & 3, bits >> 2].map((b) => 1 | (b << 1));
    put32(m, TABLES[0], 0, TABLES[1] | flags[0]!);
    put32(m, TABLES[1], 0, Number(PAGE) | flags[1]!);
    const all = flags[0]! & flags[1]!;
    for (const access of KINDS) {
      const asked = access & 6;
      const denied = ((access & 4) !== 0 && (all & 4) === 0) || ((access & 2) !== 0 && (all & 2) === 0);
      assert.equal(fresh(m, 0n, access), denied ? pf(asked | 1) : PAGE.toString(16), `${bits} access ${access}`);
    }
  }
  put32(m, TABLES[1], 0, 0);
  assert.equal(fresh(m, 0n, ACCESS.fetch | ACCESS.user), pf(4));
});

test('without paging linear addresses are physical ones of 32 bits', () => {
  const m = machine();
  m.state.setU64(CPU.cr0, BigInt(CR0.pe));
  m.state.setU64(CPU.efer, 0n);
  assert.equal(fresh(m, 0x1234n, 6), '1234');
  assert.equal(fresh(m, 0x1_0000_1234n, 6), '1234');
});

test('long mode reads above 4 GiB of table addresses', () => {
  const m = machine({ cr3: 0x1_0001_0000n });
  assert.equal(fresh(m, 0n, 0), pf(0));
});

test('the walk by itself, for debuggers, reads what cannot be executed', () => {
  const m = machine();
  chain(m, [7n, 7n, 7n, 7n | NX]);
  const { state } = m;
  assert.equal(state.core.walk(state.block, 0x123n, ACCESS.read), PAGE + 0x123n);
  assert.equal(state.core.walk(state.block, 0x123n, ACCESS.fetch), -1n);
  state.setU32(CPU.fault, 0);
  assert.equal(state.core.walk(state.block, 0x1000n, ACCESS.read), -1n);
});
