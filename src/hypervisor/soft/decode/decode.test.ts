import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DECODE_INVALID, DECODE_MORE, DECODE_TOO_LONG, decode } from './decode.ts';
import { type CodeSize, Insn, NO_REGISTER, OPERAND, RIP, SEG } from './insn.ts';
import { OP, OPS } from './opcodes.ts';

function length(hex: string, codeSize: CodeSize = 8, insn = new Insn()): number {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return decode(bytes, 0, bytes.length, codeSize, insn);
}

function decoded(hex: string, codeSize: CodeSize = 8): Insn {
  const insn = new Insn();
  assert.equal(length(hex, codeSize, insn), hex.replaceAll(' ', '').length / 2);
  return insn;
}

test('OPS and OP name the same operations', () => {
  assert.equal(OPS[0], 'invalid');
  assert.equal(OP.invalid, 0);
  assert.equal(new Set(OPS).size, OPS.length);
  OPS.forEach((name, op) => {
    assert.equal(OP[name], op);
  });
});

test('a memory operand has its base, index, scale, displacement and segment', () => {
  const insn = decoded('64 48 03 84 8b 78 56 34 92');
  assert.equal(OPS[insn.op], 'add');
  assert.deepEqual({ ...insn.a }, { kind: OPERAND.gpr, reg: 0, size: 8 });
  assert.deepEqual({ ...insn.b }, { kind: OPERAND.mem, reg: 0, size: 8 });
  assert.deepEqual([insn.base, insn.index, insn.scale, insn.seg], [3, 1, 2, SEG.fs]);
  assert.deepEqual([insn.disp, insn.dispHigh], [0x92345678 | 0, -1]);
});

test('RIP-relative, SIB without base and 16-bit addresses', () => {
  const rip = decoded('8b 05 10 00 00 00');
  assert.deepEqual([rip.base, rip.index, rip.disp], [RIP, NO_REGISTER, 16]);
  const absolute = decoded('8b 04 25 10 00 00 00');
  assert.deepEqual([absolute.base, absolute.index, absolute.disp], [NO_REGISTER, NO_REGISTER, 16]);
  const bpDi = decoded('8b 43 fe', 2);
  assert.deepEqual([bpDi.base, bpDi.index, bpDi.disp, bpDi.seg, bpDi.addrSize], [5, 7, -2, SEG.ss, 2]);
});

test('moffs and 64-bit immediates have all their 64 bits', () => {
  const moffs = decoded('a1 88 77 66 55 44 33 22 91');
  assert.deepEqual([moffs.disp, moffs.dispHigh], [0x55667788, 0x91223344 | 0]);
  const imm = decoded('49 bf 88 77 66 55 44 33 22 91');
  assert.deepEqual([imm.a.reg, imm.imm, imm.immHigh], [15, 0x55667788, 0x91223344 | 0]);
});

test('REX counts only right before the opcode, and changes AH to SPL', () => {
  assert.deepEqual([decoded('48 66 89 c0').opSize, decoded('66 48 89 c0').opSize], [2, 8]);
  assert.deepEqual([decoded('88 e0').b.reg, decoded('40 88 e0').b.reg], [16, 4]);
});

test('mandatory prefixes select the instruction and are no repeat prefixes', () => {
  const names = ['0f 58 c1', '66 0f 58 c1', 'f3 0f 58 c1', '66 f2 0f 58 c1'].map((hex) => OPS[decoded(hex).op]);
  assert.deepEqual(names, ['addps', 'addpd', 'addss', 'addsd']);
  assert.equal(decoded('f3 0f 58 c1').rep, 0);
  assert.equal(decoded('f3 a4').rep, 0xf3);
});

test('operand sizes in 64-bit code: stack and near branches are 64 bits wide', () => {
  assert.deepEqual([decoded('50').opSize, decoded('66 50').opSize], [8, 2]);
  assert.deepEqual([decoded('66 e8 00 00 00 00').opSize, decoded('c3').opSize, decoded('cb').opSize], [8, 8, 4]);
  assert.equal(decoded('90').opSize, 4);
});

test('NOP with REX.B is XCHG with R8', () => {
  assert.equal(OPS[decoded('90').op], 'nop');
  assert.equal(OPS[decoded('f3 90').op], 'pause');
  assert.deepEqual([OPS[decoded('49 90').op], decoded('49 90').a.reg], ['xchg', 8]);
});

test('ENTER has two immediates, a far pointer an offset and a selector', () => {
  const enter = decoded('c8 34 12 05');
  assert.deepEqual([enter.imm, enter.imm2, enter.b.kind], [0x1234, 5, OPERAND.none]);
  const far = decoded('ea 78 56 34 12 10 00', 4);
  assert.deepEqual([far.a.kind, far.imm, far.immHigh], [OPERAND.far, 0x12345678, 0x10]);
});

test('what the CPU does not have is invalid', () => {
  const hexes = {
    vex: 'c5 f8 58 c1',
    evex: '62 f1 7c 48 58 c1',
    pushEs: '06',
    lockNop: 'f0 90',
    lockRegister: 'f0 01 c0',
    lockCmp: 'f0 39 00',
    movCs: '8e c8',
    movSegment6: '8e f0',
    cr1: '0f 20 c8',
    dr8: '44 0f 21 c0',
    leaRegister: '8d c0',
    xgetbv: '0f 01 d0',
    stac: '0f 01 cb',
    rdfsbase: 'f3 0f ae c0',
    movbe: '0f 38 f0 00',
    aesenc: '66 0f 38 dc c1',
  };
  for (const [name, hex] of Object.entries(hexes)) {
    const insn = new Insn();
    assert.equal(length(hex, 8, insn), DECODE_INVALID, name);
    assert.equal(insn.op, OP.invalid, name);
  }
  assert.equal(length('c5 f8 58 c1', 4), DECODE_INVALID);
  assert.equal(OPS[decoded('c5 00', 4).op], 'lds');
});

test('an instruction of 15 bytes is valid, one of 16 is too long, and one that is cut short wants more', () => {
  assert.equal(length(`${'66'.repeat(14)}90`), 15);
  assert.equal(length(`${'66'.repeat(15)}90`), DECODE_TOO_LONG);
  assert.equal(length(`${'66'.repeat(20)}`), DECODE_TOO_LONG);
  assert.equal(length(`${'66'.repeat(9)}48b81122334455667788`), DECODE_TOO_LONG);
  assert.equal(length(`${'66'.repeat(14)}`), DECODE_MORE);
  assert.equal(length(''), DECODE_MORE);
});
