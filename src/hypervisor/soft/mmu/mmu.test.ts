import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4 } from '../architecture.ts';
import { AREA, areaOf, FILL_LOG_ENTRIES, TLB_ENTRIES, TLB_ENTRY, TLB_ENTRY_SIZE } from '../layout.ts';
import { CPU } from '../state.ts';
import { writeCr0, writeCr3, writeCr4 } from '../system/control-registers.ts';
import type { AccessSize } from '../system/cpu-state.ts';
import { TestEngine } from '../test-engine.ts';

const TABLE = 0x13000;
const SIZES: readonly AccessSize[] = [1, 2, 4, 8];
const READ_ONLY = 5;
const MISSING = 0;
const GLOBAL = 0x100;

/** Long mode at privilege `cpl`, the first 2 MiB mapped to themselves with 4 KiB pages. */
function machine(cpl = 0): TestEngine {
  const m = new TestEngine();
  m.enterLong(cpl);
  for (let page = 0; page < 512; page++) map(m, page, page, 7);
  m.view.setUint32(0x12000, TABLE | 7, true);
  m.state.tlb.flush();
  return m;
}

function map(m: TestEngine, page: number, to: number, flags: number): void {
  m.view.setBigUint64(TABLE + page * 8, BigInt(to) * 4096n + BigInt(flags), true);
}

const flagsOf = (m: TestEngine, page: number) => m.view.getUint32(TABLE + page * 8, true) & 0xfff;
const at = (page: number, offset = 0) => BigInt(page * 4096 + offset);

/** Executes MOVUPS [rsi], xmm0 or MOVUPS xmm0, [rsi] there. */
function vector(m: TestEngine, address: bigint, write: boolean): string | undefined {
  m.code(0x5000, write ? '0f 11 06 cc' : '0f 10 06 cc');
  m.state.setReg(6, address);
  m.faults.length = 0;
  m.go(0x5000);
  const [fault] = m.faults;
  return fault === undefined ? undefined : `${fault.vector}:${fault.error.toString(16)}@${fault.address.toString(16)}`;
}

test('a write behind a read sets the dirty bit', () => {
  const m = machine();
  m.state.read(at(0x20), 8);
  assert.equal(flagsOf(m, 0x20), 0x27);
  m.state.write(at(0x20), 1, 5n);
  assert.equal(flagsOf(m, 0x20), 0x67);
});

test('a read-only page that is made writable can be written without INVLPG; the reverse needs one', () => {
  const m = machine(3);
  const write = () => m.faultOf(() => m.state.write(at(0x20), 4, 1n));
  map(m, 0x20, 0x20, READ_ONLY);
  m.state.read(at(0x20), 4);
  assert.equal(write(), '14:7@20000');
  map(m, 0x20, 0x20, 7);
  assert.equal(write(), undefined);
  map(m, 0x20, 0x20, READ_ONLY);
  m.state.tlb.invalidatePage(at(0x20, 123));
  assert.equal(write(), '14:7@20000');
});

test('a load of CR3 keeps global pages, and only with CR4.PGE', () => {
  for (const [pge, flags, kept] of [
    [true, 7 | GLOBAL, true],
    [true, 7, false],
    [false, 7 | GLOBAL, false],
    [false, 7, false],
  ] as const) {
    const m = machine();
    writeCr4(m.state, BigInt(CR4.pae | CR4.osfxsr | (pge ? CR4.pge : 0)));
    m.view.setUint8(0x21000, 0x21);
    map(m, 0x20, 0x20, flags);
    m.state.read(at(0x20), 1);
    map(m, 0x20, 0x21, flags);
    writeCr3(m.state, 0x10000n);
    assert.equal(m.state.read(at(0x20), 1), kept ? 0n : 0x21n, `PGE ${pge} flags ${flags}`);
    writeCr4(m.state, BigInt(CR4.pae | CR4.osfxsr | (pge ? 0 : CR4.pge)));
    assert.equal(m.state.read(at(0x20), 1), 0x21n);
  }
});

test('CR0.WP takes effect at once', () => {
  const m = machine();
  const write = () => m.faultOf(() => m.state.write(at(0x20), 4, 1n));
  map(m, 0x20, 0x20, READ_ONLY);
  writeCr0(m.state, 0x8000_0011n);
  assert.equal(write(), undefined);
  writeCr0(m.state, 0x8001_0011n);
  assert.equal(write(), '14:3@20000');
});

test('INVLPG of any address in a large page drops all of it', () => {
  for (const [table, index, size] of [
    [0x12000, 8, 2 << 20],
    [0x11000, 1, 1 << 30],
  ] as const) {
    const m = machine();
    const base = BigInt(index * size);
    const entry = (gpa: number) => m.view.setBigUint64(table + index * 8, BigInt(gpa) | 0x87n, true);
    entry(0);
    m.view.setUint8(0x20000, 0x20);
    assert.equal(m.state.read(base + 0x20000n, 1), 0x20n);
    entry(size);
    m.state.tlb.invalidatePage(base + BigInt(size / 2));
    m.mmioValue = 0x99n;
    assert.equal(m.state.read(base + 0x20000n, 1), 0x99n, String(size));
  }
  const m = new TestEngine();
  m.enterProtected();
  m.state.setU64(CPU.cr4, BigInt(CR4.pse));
  m.state.setU64(CPU.cr3, 0x10000n);
  m.state.setU64(CPU.cr0, 0x8001_0011n);
  m.state.tlb.flush();
  m.view.setUint32(0x10000 + 4, 0x87, true);
  m.view.setUint8(0x20000, 0x20);
  assert.equal(m.state.read(0x42_0000n, 1), 0x20n);
  m.view.setUint32(0x10000 + 4, 0x0040_0087, true);
  m.state.tlb.invalidatePage(0x60_0000n);
  assert.equal(m.state.read(0x42_0000n, 1), 0n);
});

test('the TLBs of the privileges are separate', () => {
  const m = machine();
  map(m, 0x20, 0x20, 3);
  m.state.write(at(0x20), 4, 1n);
  m.state.setCpl(3);
  m.state.updateMode();
  assert.equal(
    m.faultOf(() => m.state.read(at(0x20), 4)),
    '14:5@20000',
  );
  assert.equal(
    m.faultOf(() => m.state.write(at(0x20), 4, 1n)),
    '14:7@20000',
  );
  assert.equal(
    m.state.asSupervisor(() => m.state.read(at(0x20), 4)),
    1n,
  );
  assert.equal(
    m.faultOf(() => m.state.read(at(0x20), 4)),
    '14:5@20000',
  );
});

test('addresses that share an entry, and aliases of a page, do not meet', () => {
  const m = machine();
  m.view.setUint32(0x12000 + 4 * 8, TABLE | 7, true); // 8 MiB further: the same entry of 2048
  map(m, 0x20, 0x21, 7);
  m.state.write(at(0x20), 4, 0x1111n);
  assert.equal(m.state.read(at(0x21), 4), 0x1111n);
  m.view.setUint32(0x14000 + 0x20 * 8, 0x22007, true);
  m.view.setUint32(0x12000 + 4 * 8, 0x14007, true);
  m.state.write(at(0x20 + TLB_ENTRIES), 4, 0x2222n);
  assert.equal(m.state.read(at(0x20), 4), 0x1111n);
  assert.equal(m.state.read(at(0x22), 4), 0x2222n);
});

test('entries that are not valid match no address', () => {
  const m = machine();
  const area = areaOf(0);
  const check = (entry: number, tag: number) => {
    const page = m.state.view.getBigUint64(entry + tag, true);
    const index = BigInt(((entry - area) / TLB_ENTRY_SIZE) % TLB_ENTRIES);
    assert.notEqual((page >> 12n) % BigInt(TLB_ENTRIES), index);
  };
  for (let i = 0; i < 2 * TLB_ENTRIES; i++) {
    check(area + i * TLB_ENTRY_SIZE, TLB_ENTRY.read);
    check(area + i * TLB_ENTRY_SIZE, TLB_ENTRY.write);
  }
  m.state.read(at(0x20), 1);
  check(area + 0x20 * TLB_ENTRY_SIZE, TLB_ENTRY.write);
  for (const va of [0x8000_0000_0000n, 0x8000_0000_0000_0000n, 0xffff_7fff_ffff_f000n, 0x1_0000_0000_0020_000n]) {
    assert.equal(
      m.faultOf(() => m.state.read(BigInt.asUintN(64, va | 0x20000n), 1)),
      '13:0',
    );
  }
});

test('a fill log that is full drops everything, and never starts to count again', () => {
  const m = machine();
  m.view.setUint8(0x21000, 0x21);
  for (let i = 0; i < FILL_LOG_ENTRIES + 10; i++) {
    m.state.read(at(0x30 + (i % 300)), 1);
    if (i % 300 === 299) for (let p = 0; p < 300; p++) m.state.tlb.invalidatePage(at(0x30 + p));
  }
  const count = () => m.state.view.getUint32(areaOf(0) + AREA.fillLog, true);
  assert.equal(count(), FILL_LOG_ENTRIES + 1);
  m.state.read(at(0x20), 1);
  assert.equal(count(), FILL_LOG_ENTRIES + 1);
  map(m, 0x20, 0x21, 7);
  writeCr3(m.state, 0x10000n);
  assert.equal(m.state.read(at(0x20), 1), 0x21n);
  assert.equal(count(), 1);
});

test('loads across pages: each size, the second or the first page missing', () => {
  for (const size of SIZES.slice(1)) {
    for (let before = 1; before < size; before++) {
      const m = machine();
      const va = at(0x21, -before);
      m.ram.set([1, 2, 3, 4, 5, 6, 7, 8], 0x21000 - before);
      assert.equal(m.state.read(va, size), BigInt.asUintN(size * 8, 0x0807_0605_0403_0201n));
      map(m, 0x21, 0, MISSING);
      m.state.tlb.flush();
      assert.equal(
        m.faultOf(() => m.state.read(va, size)),
        '14:0@21000',
      );
      map(m, 0x20, 0, MISSING);
      m.state.tlb.flush();
      assert.equal(
        m.faultOf(() => m.state.read(va, size)),
        `14:0@${va.toString(16)}`,
      );
    }
  }
});

test('stores across pages: nothing is written when the second page is missing or read-only', () => {
  for (const size of SIZES.slice(1)) {
    for (let before = 1; before < size; before++) {
      for (const flags of [MISSING, READ_ONLY]) {
        const m = machine();
        const va = at(0x21, -before);
        // Both with the first page in the TLB and without.
        if (before % 2 === 0) m.state.write(at(0x20), 8, 0n);
        map(m, 0x21, 0x21, flags);
        const error = flags === MISSING ? 2 : 3;
        assert.equal(
          m.faultOf(() => m.state.write(va, size, -1n)),
          `14:${error}@21000`,
        );
        assert.deepEqual([...m.ram.subarray(0x20ff8, 0x21008)], Array(16).fill(0));
        map(m, 0x21, 0x30, 7);
        m.state.write(va, size, 0x0807_0605_0403_0201n);
        const bytes = [
          ...m.ram.subarray(0x21000 - before, 0x21000),
          ...m.ram.subarray(0x30000, 0x30000 + size - before),
        ];
        assert.deepEqual(bytes, [1, 2, 3, 4, 5, 6, 7, 8].slice(0, size));
      }
    }
  }
});

test('loads and stores of 16 bytes across pages', () => {
  for (let before = 1; before < 16; before++) {
    const m = machine(3);
    const va = at(0x21, -before);
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
    m.ram.set(bytes, 0x21000 - before);
    assert.equal(vector(m, va, false), undefined);
    assert.deepEqual(m.state.bytes.slice(m.state.block + CPU.xmm, m.state.block + CPU.xmm + 16), bytes);
    m.ram.fill(0, 0x20000, 0x22000);
    for (const flags of [MISSING, READ_ONLY]) {
      map(m, 0x21, 0x21, flags);
      m.state.tlb.flush();
      const error = flags === MISSING ? 6 : 7;
      assert.equal(vector(m, va, true), `14:${error}@21000`);
      assert.deepEqual(m.ram.slice(0x20ff0, 0x21010), new Uint8Array(32));
    }
    assert.equal(vector(m, va, false), undefined);
    m.state.bytes.set(bytes, m.state.block + CPU.xmm);
    map(m, 0x21, 0x30, 7);
    m.state.tlb.flush();
    assert.equal(vector(m, va, true), undefined);
    assert.deepEqual(m.ram.slice(0x21000 - before, 0x21000), bytes.slice(0, before));
    assert.deepEqual(m.ram.slice(0x30000, 0x30000 + 16 - before), bytes.slice(before));
  }
});

test('MMIO of each size, within a page and half outside memory', () => {
  const m = machine();
  map(m, 0x20, 0x8_0000, 7);
  m.mmioValue = 0x8877_6655_4433_2211n;
  for (const size of SIZES) {
    m.mmio.length = 0;
    assert.equal(m.state.read(at(0x20, 0x10), size), BigInt.asUintN(size * 8, m.mmioValue));
    m.state.write(at(0x20, 0x18), size, 0x1122_3344_5566_7788n);
    const value = BigInt.asUintN(size * 8, 0x1122_3344_5566_7788n).toString(16);
    assert.deepEqual(m.mmio, [`r ${size} 80000010`, `w ${size} 80000018 ${value}`]);
  }
  m.mmio.length = 0;
  m.state.write(at(0x20, -2), 4, 0x4433_2211n);
  assert.equal(m.view.getUint16(0x1fffe, true), 0x2211);
  assert.deepEqual(m.mmio, ['w 1 80000000 33', 'w 1 80000001 44']);
});

test('read-only memory is read and executed; writes go to devices', () => {
  const m = machine();
  m.code(0x20000, 'b0 11 a2 05 00 02 00 00 00 00 00 cc'); // mov al, 11; mov [20005], al
  m.setRegions([
    { start: 0, size: 0x20000 },
    { start: 0x20000, size: 0x1000, readOnly: true },
    { start: 0x21000, size: 0x1d_f000 },
  ]);
  m.go(0x20000);
  assert.deepEqual(m.mmio, ['w 1 20005 11']);
  assert.equal(m.state.rip, 0x2000bn);
  assert.equal(m.state.read(at(0x20), 2), 0x11b0n);
  m.state.write(at(0x20), 8, 1n);
  m.state.write(at(0x20), 8, 2n);
  assert.deepEqual(m.mmio.slice(1), ['w 8 20000 1', 'w 8 20000 2']);
  assert.equal(m.state.read(at(0x20), 2), 0x11b0n);
});

test('a million loads of CR3 do not lose the mappings', () => {
  const m = machine();
  for (let i = 0; i < 1_000_000; i++) writeCr3(m.state, 0x10000n);
  m.code(0x5000, 'b0 11 cc');
  m.go(0x5000);
  assert.equal(m.state.reg(0), 0x11n);
});

test('what reaches over 4 GiB goes on at 0 in code whose addresses have 32 bits', () => {
  const m = machine();
  m.view.setUint32(0x11018, 0x14007, true); // the last GiB below: only its last 2 MiB are there
  m.view.setUint32(0x14ff8, 0x000e7, true);
  m.state.setSegment(1, 8, 0n, 0xffff_ffff, 0xc09b);
  m.state.updateMode();
  m.view.setUint16(0x1f_fffe, 0x2211, true);
  m.view.setUint16(0, 0x4433, true);
  m.code(0x5000, 'a1 fe ff ff ff ff 05 fe ff ff ff 8b 18 0f 10 01 cc');
  m.state.setReg(0, 0n);
  m.state.setReg(1, 0xffff_fff8n);
  m.go(0x5000);
  assert.deepEqual(m.faults.length, 1, 'EAX leads nowhere');
  assert.equal(m.state.reg(0), 0x4433_2211n);
  assert.deepEqual([m.view.getUint16(0x1f_fffe, true), m.view.getUint16(0, true)], [0x2212, 0x4433]);
  m.faults.length = 0;
  m.go(0x500d);
  assert.deepEqual(m.faults, []);
  assert.equal(m.state.u64(CPU.xmm), 0x2212_0000_0000_0000n);
  assert.equal(m.state.u64(CPU.xmm + 8), 0x4433n);
});

/** Pages 8 MiB apart share an entry of the TLB: here they are also the same memory. */
function machineWithAlias(): TestEngine {
  const m = machine();
  m.view.setUint32(0x12000 + 4 * 8, TABLE | 7, true);
  return m;
}
const OTHER = TLB_ENTRIES;
const missesOf = (m: TestEngine) => m.state.view.getFloat64(m.state.block + CPU.tlbMisses, true);

test('two pages that share an entry of the TLB are used by turns without walks', () => {
  const m = machineWithAlias();
  const move = (write: boolean) => {
    for (const page of [0x20, 0x20 + OTHER]) assert.equal(vector(m, at(page), write), undefined);
  };
  for (let i = 0; i < 3; i++) {
    move(false);
    assert.equal(missesOf(m), 2);
  }
  for (let i = 0; i < 3; i++) {
    move(true);
    move(false);
    assert.equal(missesOf(m), 4);
  }
  // A third one takes the place of the one that was used longest ago.
  m.view.setUint32(0x12000 + 8 * 8, TABLE | 7, true);
  m.state.read(at(0x20 + 2 * OTHER), 1);
  m.state.read(at(0x20 + OTHER), 1);
  assert.equal(missesOf(m), 5);
  m.state.read(at(0x20), 1);
  assert.equal(missesOf(m), 6);
});

function inWebAssembly(m: TestEngine, name: string, ...args: bigint[]): void {
  const core = m.state.core as unknown as Record<string, CallableFunction>;
  assert.equal(core[name]!(m.state.block, ...args), 1);
}

test('what forgets an entry forgets the one that it replaced', () => {
  const forgetting: ((m: TestEngine) => void)[] = [
    (m) => m.state.tlb.invalidatePage(at(0x20)),
    (m) => m.state.tlb.flushNonGlobal(),
    (m) => m.state.tlb.flush(),
    (m) => inWebAssembly(m, 'invalidatePage', at(0x20)),
    (m) => inWebAssembly(m, 'flushNonGlobal'),
  ];
  for (const [i, forget] of forgetting.entries()) {
    const m = machineWithAlias();
    m.state.read(at(0x20), 1);
    m.state.read(at(0x20 + OTHER), 1);
    map(m, 0x20, 0x21, 7);
    m.view.setUint8(0x21000, 7);
    assert.equal(m.state.read(at(0x20), 1), 0n, `${i}`);
    m.state.read(at(0x20 + OTHER), 1);
    forget(m);
    assert.equal(m.state.read(at(0x20), 1), 7n, `${i}`);
  }
});

test('code is noticed when it is written through an entry that was replaced before it was decoded', () => {
  const m = machineWithAlias();
  m.code(0x21000, 'b0 01 cc'); // mov al, 1
  m.state.write(at(0x21, 0x800), 1, 0n);
  m.state.write(at(0x21 + OTHER, 0x800), 1, 0n);
  m.go(0x21000);
  assert.equal(m.state.reg(0) & 0xffn, 1n);
  m.state.write(at(0x21, 1), 1, 2n);
  m.go(0x21000);
  assert.equal(m.state.reg(0) & 0xffn, 2n);
  m.state.write(at(0x21 + OTHER, 1), 1, 3n);
  m.go(0x21000);
  assert.equal(m.state.reg(0) & 0xffn, 3n);
});
