import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from './decode.ts';
import { formatInsn } from './format.ts';
import { type CodeSize, Insn } from './insn.ts';

function text(hex: string, codeSize: CodeSize = 8): string {
  const bytes = Buffer.from(hex, 'hex');
  const insn = new Insn();
  decode(bytes, 0, bytes.length, codeSize, insn);
  return formatInsn(insn, 0x1000n);
}

test('instructions are written in Intel syntax', () => {
  assert.equal(text('644803848b78563492'), 'add rax, qword ptr fs:[rbx+rcx*4-0x6dcba988]');
  assert.equal(text('8b0510000000'), 'mov eax, dword ptr [0x1016]');
  assert.equal(text('75fe'), 'jne 0x1000');
  assert.equal(text('f348a5'), 'rep movsq');
  assert.equal(text('f00fc70e'), 'lock cmpxchg8b qword ptr [rsi]');
  assert.equal(text('4883c4f8'), 'add rsp, 0xfffffffffffffff8');
  assert.equal(text('88e0'), 'mov al, ah');
  assert.equal(text('440f22c0'), 'movToCr cr8, rax');
  assert.equal(text('66410f58c8'), 'addpd xmm1, xmm8');
  assert.equal(text('d8c3'), 'fadd st(0), st(3)');
  assert.equal(text('c8341205'), 'enter 0x1234, 0x5');
});

test('legacy modes have their own registers, addresses and far pointers', () => {
  assert.equal(text('8b43fe', 2), 'mov ax, word ptr [bp+di-0x2]');
  assert.equal(text('ea785634121000', 4), 'jmpFar 0x10:0x12345678');
  assert.equal(text('e9ffef', 2), 'jmp 0x2');
});

test('what is no instruction has a name too', () => {
  assert.equal(text('0f01d0'), 'invalid');
  assert.equal(text('f08903'), 'invalid');
});
