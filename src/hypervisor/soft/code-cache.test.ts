import assert from 'node:assert/strict';
import { CPU } from './state.ts';
import { engineTest, TestEngine } from './test-engine.ts';

const RAX = 0;
const RCX = 1;
const RSI = 6;
const RDI = 7;
const INVLPG_R8 = '41 0f 01 38';
const MOV_CR3_RAX = '0f 22 d8';
const JUMP_GENERATIONS = 1 << 24;

function machine(cpl = 0): TestEngine {
  const m = new TestEngine();
  m.enterLong(cpl);
  return m;
}

/** Maps the first 2 MiB with 4 KiB pages to themselves, and gives the address of the table. */
function smallPages(m: TestEngine): number {
  for (let page = 0; page < 512; page++) m.view.setUint32(0x13000 + page * 8, (page << 12) | 7, true);
  m.view.setUint32(0x12000, 0x13007, true);
  m.state.tlb.flush();
  return 0x13000;
}

engineTest('an instruction that is not valid is decoded again when a later byte of it is written', () => {
  const m = machine();
  m.code(0x5000, '0f 04 c0 cc');
  m.go(0x5000);
  assert.deepEqual(
    m.faults.map(({ vector }) => vector),
    [6],
  );
  m.ram[0x5001] = 0x1f; // NOP
  m.told(0x5001, 1);
  m.go(0x5000);
  assert.equal(m.faults.length, 1);
  assert.equal(m.state.rip, 0x5003n);
});

engineTest('an instruction too long for the CPU is decoded again when one of its bytes is written', () => {
  const m = machine();
  m.code(0x5ffa, `${'66 '.repeat(15)}90`);
  m.go(0x5ffa);
  assert.deepEqual(
    m.faults.map(({ vector, error }) => [vector, error]),
    [[13, 0]],
  );
  m.code(0x6004, 'cc');
  m.go(0x5ffa);
  assert.equal(m.faults.length, 1);
  assert.equal(m.state.rip, 0x5ffan);
});

engineTest('15 prefixes at the end of a page are too long, whatever the next page is', () => {
  const m = machine();
  const table = smallPages(m);
  m.view.setUint32(table + 6 * 8, 0, true);
  m.code(0x5ff1, '66 66 66 66 66 66 66 66 66 66 66 66 66 66 66');
  m.go(0x5ff1);
  assert.deepEqual(
    m.faults.map(({ vector }) => vector),
    [13],
  );
  m.code(0x5ff2, '90');
  m.go(0x5ff2);
  assert.deepEqual(m.faults.map(({ vector, address }) => [vector, address]).at(-1), [14, 0x6000n]);
});

engineTest('an instruction that goes on where no memory is ends the run like a jump there', () => {
  const m = machine();
  m.setRegions([
    { start: 0, size: 0x10_0000 },
    { start: 0x1f_0000, size: 0x1_0000 },
  ]);
  m.putGdt();
  m.code(0xf_ffff, '48');
  m.go(0xf_ffff);
  assert.equal(m.fetchedFrom, 0x10_0000);
  assert.deepEqual(m.faults, []);
});

engineTest('code that overwrites what follows it is executed as written', () => {
  const m = machine();
  // mov byte [rip+0], 0x43 ; the immediate of: mov al, 0x11 ; int3
  m.code(0x5000, 'c6 05 01 00 00 00 43 b0 11 cc');
  m.go(0x5000);
  assert.equal(m.state.reg(RAX) & 0xffn, 0x43n);
});

engineTest('code that overwrites what came before it, and itself, is executed as written the next time', () => {
  const m = machine();
  // 5000: mov al, 1; mov byte [rip-7], 2 (the 1); int3
  m.code(0x5000, 'b0 01 c6 05 f8 ff ff ff 02 cc');
  m.go(0x5000);
  assert.equal(m.state.reg(RAX) & 0xffn, 1n);
  m.go(0x5000);
  assert.equal(m.state.reg(RAX) & 0xffn, 2n);
  // 5100: mov byte [rip-1], cl: its own last byte, and the instruction goes on as it was.
  m.code(0x5100, 'c6 05 ff ff ff ff 90 cc');
  m.go(0x5100);
  assert.equal(m.state.rip, 0x5107n);
});

engineTest('a linked loop that is overwritten in its middle leaves it', () => {
  const m = machine();
  m.state.setReg(RCX, 50n);
  // 5000: jmp 5010; 5010: dec ecx; cmp ecx, 10; jne 5000; mov byte [5000], int3; jmp 5000
  m.code(0x5000, 'eb 0e');
  m.code(0x5010, 'ff c9 83 f9 0a 75 e9 c6 04 25 00 50 00 00 cc eb df');
  m.go(0x5000);
  assert.equal(m.state.reg(RCX), 10n);
  assert.equal(m.state.rip, 0x5000n);
});

engineTest('a store by another linear address of the same page is seen', () => {
  const m = machine();
  const table = smallPages(m);
  m.view.setUint32(table + 0x20 * 8, 0x5007, true);
  // Twice: the second store finds the alias in the TLB, as data.
  m.code(0x5000, 'c6 04 25 40 00 02 00 43 c6 04 25 13 00 02 00 44 90 90 b0 11 cc');
  m.go(0x5000);
  assert.equal(m.state.reg(RAX) & 0xffn, 0x44n);
});

engineTest('the bulk forms of MOVS and STOS see code pages, before and after it is decoded', () => {
  for (const hex of ['f3 a4 b0 11 cc', 'f3 aa b0 11 cc', 'f3 48 ab b0 11 cc']) {
    const m = machine();
    smallPages(m);
    // The page is in the TLB for writes already when its code is decoded.
    m.state.write(0x5800n, 8, 1n);
    m.code(0x5000, hex);
    m.ram.fill(0xcc, 0x6000, 0x6100);
    m.state.setReg(RAX, 0xcccc_cccc_cccc_ccccn);
    m.state.setReg(RSI, 0x6000n);
    m.state.setReg(RDI, 0x5000n + BigInt(hex.split(' ').length - 3));
    m.state.setReg(RCX, 0x80n);
    m.go(0x5000);
    assert.equal(m.state.reg(RAX), 0xcccc_cccc_cccc_ccccn, hex);
    assert.equal(m.state.reg(RCX), 0n, hex);
  }
});

engineTest('a write of TypeScript, also one that crosses into the page, makes code be decoded again', () => {
  const m = machine();
  m.code(0x6000, 'b0 11 cc');
  m.go(0x6000);
  m.state.write(0x5ffen, 4, 0x43b0_0000n);
  m.go(0x6000);
  assert.equal(m.state.reg(RAX) & 0xffn, 0x43n);
});

engineTest('an instruction across pages is decoded again when its second half is written, or mapped elsewhere', () => {
  const m = machine();
  const table = smallPages(m);
  m.code(0x5ffe, 'b8 11 00 00 00 cc'); // mov eax, 0x11
  m.code(0x7000, '33 00 00 cc');
  m.go(0x5ffe);
  assert.equal(m.state.reg(RAX), 0x11n);
  m.state.write(0x6000n, 1, 0x22n);
  m.go(0x5ffe);
  assert.equal(m.state.reg(RAX), 0x2200n + 0x11n);
  m.view.setUint32(table + 6 * 8, 0x7007, true);
  m.state.tlb.invalidatePage(0x6000n);
  m.go(0x5ffe);
  assert.equal(m.state.reg(RAX), 0x3311n);
  m.view.setUint32(table + 6 * 8, 0, true);
  m.state.tlb.invalidatePage(0x6000n);
  m.go(0x5ffe);
  assert.deepEqual(m.faults, [{ vector: 14, error: 0x10, rip: 0x5ffen, address: 0x6000n }]);
});

engineTest('CR3 and INVLPG change which code is at an address, in both halves', () => {
  for (const [base, flags] of [
    [0n, 7],
    [0xffff_8000_0000_0000n, 7],
    [0n, 0x107],
  ] as const) {
    const m = machine();
    const table = smallPages(m);
    m.view.setUint32(0x10000 + 256 * 8, 0x11007, true);
    m.view.setUint32(table + 6 * 8, 0x6000 | flags, true);
    m.code(0x6000, 'b0 11 cc');
    m.code(0x7000, 'b0 22 cc');
    m.code(0x5000, `${MOV_CR3_RAX} ff e3`); // jmp rbx
    m.code(0x5100, `${INVLPG_R8} ff e3`);
    m.state.setReg(RAX, 0x10000n);
    m.state.setReg(3, base + 0x6000n);
    m.state.setReg(8, base + 0x6000n);
    m.go(0x5000);
    assert.equal(m.state.reg(RAX) & 0xffn, 0x11n);
    m.view.setUint32(table + 6 * 8, 0x7000 | flags, true);
    m.state.setReg(RAX, 0x10000n);
    m.go(flags === 7 ? 0x5000 : 0x5100);
    assert.equal(m.state.reg(RAX) & 0xffn, 0x22n, `${base} ${flags}`);
  }
});

engineTest('the same bytes are decoded anew in another mode', () => {
  const m = machine();
  m.code(0x5000, '40 90 cc'); // 64-bit: REX NOP; 32-bit: inc eax; nop
  m.state.setReg(RAX, 1n);
  m.go(0x5000);
  assert.equal(m.state.reg(RAX), 1n);
  m.enterProtected();
  m.state.setReg(RAX, 1n);
  m.go(0x5000);
  assert.equal(m.state.reg(RAX), 2n);
});

engineTest('a single step executes one instruction', () => {
  const m = machine();
  m.state.stepping = true;
  m.state.updateMode();
  m.code(0x5000, 'ff c0 ff c0 0f 0b');
  assert.equal(m.go(0x5000), 1);
  assert.equal(m.state.rip, 0x5002n);
  assert.equal(m.resume(), 1);
  assert.equal(m.state.rip, 0x5004n);
  // A fault is a step to its handler.
  m.onFault = () => {
    m.state.rip = 0x5000n;
    return 'jump';
  };
  m.resume();
  assert.equal(m.state.rip, 0x5000n);
  assert.equal(m.state.reg(RAX), 2n);
});

engineTest('when the space is used up everything is dropped, and blocks that ran go on', () => {
  const m = machine();
  // Decodes all of a page from each of its bytes, with blocks of 64 instructions, until it has to forget.
  m.ram.fill(0x90, 0x20000, 0x80000);
  m.code(0x7fff0, 'cc');
  for (let at = 0x20000; at < 0x7f000; at += 15) m.go(at, 1);
  m.code(0x5000, 'ff c0 3d 10 27 00 00 75 f7 cc'); // inc eax; cmp eax, 10000; jne
  m.go(0x5000);
  assert.equal(m.state.reg(RAX), 10_000n);
});

engineTest('entries of the jump cache do not come back when the generations start again', () => {
  const m = machine();
  const table = smallPages(m);
  m.code(0x6000, 'b0 11 cc');
  m.code(0x7000, 'b0 22 cc');
  m.go(0x6000);
  m.view.setUint32(table + 6 * 8, 0x7007, true);
  m.state.tlb.invalidatePage(0x6000n);
  for (let i = 1; i < JUMP_GENERATIONS; i++) m.state.tlb.flushJumps();
  m.code(0x5000, 'e9 fb 0f 00 00'); // jmp 6000
  m.go(0x5000);
  assert.equal(m.state.reg(RAX) & 0xffn, 0x22n);
});

engineTest(
  'a TLB with a page for writes loses it when code of that page is decoded, whatever mapping it was filled by',
  () => {
    const m = machine();
    const table = smallPages(m);
    m.code(0x6000, 'b0 11 cc');
    m.go(0x6000);
    m.state.read(0x8000n, 1);
    // Without INVLPG: the first store walks, and leaves an entry for the page with code.
    m.view.setUint32(table + 8 * 8, 0x6007, true);
    m.state.write(0x7ffen, 4, 0n);
    m.state.setU32(CPU.fault, 0);
    m.code(0x5000, 'c6 04 25 01 80 00 00 43 cc'); // mov byte [8001], 0x43
    m.code(0x6000, 'b0 11 cc');
    m.go(0x6000);
    m.go(0x5000);
    m.go(0x6000);
    assert.equal(m.state.reg(RAX) & 0xffn, 0x43n);
  },
);

engineTest('an instruction of TypeScript whose page has gone is a page fault, not the last instruction again', () => {
  const m = machine();
  const table = smallPages(m);
  m.code(0x6000, 'c6 04 25 30 30 01 00 00 68 02 01 00 00 9d cc'); // mov byte [13030], 0; push 0x102; popf
  m.go(0x6000);
  assert.equal(m.view.getUint8(table + 0x30), 0);
  assert.deepEqual(m.faults, [{ vector: 14, error: 0x10, rip: 0x600dn, address: 0x600dn }]);
  assert.equal(m.state.u32(CPU.fault), 0);
});

engineTest('memory full of code that TypeScript executes, entered everywhere, is forgotten in time', () => {
  const m = machine();
  // HLT at CPL 0 leaves; every address is a block and a callout of its own.
  m.ram.fill(0xf4, 0x40000, 0x1f_0000);
  for (let at = 0x40000; at < 0x60000; at++) m.go(at, 1);
  const [blocks, callouts] = [m.engine.code.blocks, m.engine.code.callouts];
  assert.ok(blocks <= 1 << 17 && callouts <= 1 << 16, `${blocks} blocks, ${callouts} callouts`);
  m.code(0x5000, 'b0 11 cc');
  m.go(0x5000);
  assert.equal(m.state.reg(RAX) & 0xffn, 0x11n);
});
