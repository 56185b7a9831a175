/** Code that another process writes: the CPU hears of it by nothing but the guest mapping the page anew. */
import assert from 'node:assert/strict';
import { EXTERNAL_WRITERS } from './layout.ts';
import { CPU } from './state.ts';
import { engineTest, TestEngine } from './test-engine.ts';

const RAX = 0;

function machine(): TestEngine {
  const m = new TestEngine();
  m.enterLong(0);
  m.state.words[EXTERNAL_WRITERS >> 2] = 1;
  return m;
}

/** Writes as a device does. */
function dma(m: TestEngine, gpa: number, hex: string): void {
  m.ram.set(
    Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16)),
    gpa,
  );
}

/** What AL is after running code from `rip`, with all mappings made anew before. */
function al(m: TestEngine, rip: number): bigint {
  m.state.tlb.flushNonGlobal();
  m.state.setReg(RAX, 0n);
  m.go(rip);
  return m.state.reg(RAX) & 0xffn;
}

engineTest('code that a device has replaced is executed as it is now', () => {
  const m = machine();
  m.code(0x5000, 'b0 11 cc');
  for (const value of [0x11, 0x22, 0x22, 0x33]) {
    dma(m, 0x5000, `b0 ${value.toString(16)} cc`);
    for (let i = 0; i < 3; i++) assert.equal(al(m, 0x5000), BigInt(value));
  }
});

engineTest('the block that was entered is the same, but not those that it leads to', () => {
  const m = machine();
  // 5000: jmp 5800; 5800: jmp 5900; 5900: mov al, 0x11; int3
  m.code(0x5000, 'e9 fb 07 00 00');
  m.code(0x5800, 'e9 fb 00 00 00');
  m.code(0x5900, 'b0 11 cc');
  assert.equal(al(m, 0x5000), 0x11n);
  assert.equal(al(m, 0x5000), 0x11n);
  dma(m, 0x5900, 'b0 22 cc');
  assert.equal(al(m, 0x5000), 0x22n);
});

engineTest('an instruction that goes on in a page that a device has replaced', () => {
  const m = machine();
  m.code(0x5fff, 'b0 11 cc');
  assert.equal(al(m, 0x5fff), 0x11n);
  dma(m, 0x6000, '22');
  assert.equal(al(m, 0x5fff), 0x22n);
  dma(m, 0x5fff, '0c'); // or al, 0x22
  assert.equal(al(m, 0x5fff), 0x22n);
});

engineTest('a store of the guest beside its code, and then a device', () => {
  const m = machine();
  // mov byte [0x5020], 7; mov al, 0x11; int3
  m.code(0x5000, 'c6 04 25 20 50 00 00 07 b0 11 cc');
  assert.equal(al(m, 0x5000), 0x11n);
  assert.equal(al(m, 0x5000), 0x11n);
  dma(m, 0x5009, '22');
  assert.equal(al(m, 0x5000), 0x22n);
});

engineTest('code that is the same is found without TypeScript', () => {
  const m = machine();
  // 5000: jmp 6000; 6000: mov al, 0x11; int3
  m.code(0x5000, 'e9 fb 0f 00 00');
  m.code(0x6000, 'b0 11 cc');
  const lookups = () => {
    const before = m.view.getFloat64(m.state.block + CPU.codeLookups, true);
    assert.equal(al(m, 0x5000), 0x11n);
    return m.view.getFloat64(m.state.block + CPU.codeLookups, true) - before;
  };
  lookups();
  const shared = lookups();
  m.state.words[EXTERNAL_WRITERS >> 2] = 0;
  assert.equal(shared, lookups(), 'as without devices');
});
