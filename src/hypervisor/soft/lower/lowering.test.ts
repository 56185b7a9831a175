import assert from 'node:assert/strict';
import { test } from 'node:test';
import '../code-cache.ts';
import { decode } from '../decode/decode.ts';
import { type CodeSize, Insn } from '../decode/insn.ts';
import { hasMicroOp } from '../interpreter/catalog.ts';
import { MAX_COLD } from '../interpreter/core.ts';
import type { MicroOpTable } from '../interpreter/micro-op-table.ts';
import { RECORD_SIZE } from '../interpreter/record.ts';
import type { Semantics } from '../semantics/emit.ts';
import { ruleFor } from './locked-rules.ts';
import { Lowering } from './lowering.ts';
import { lowerToCallout } from './rules.ts';

/** Records that the code cache has space for, per instruction. */
const MOST_RECORDS = 6;
const PREFIXES = [
  [],
  [0x66],
  [0xf2],
  [0xf3],
  [0x66, 0xf2],
  [0x66, 0xf3],
  [0x67],
  [0x66, 0x67],
  [0x64],
  [0x67, 0x65],
  [0xf0],
];
const REX = [[], [0x48], [0x4f], [0x40]];
const MAPS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

/** Register and memory operands with all values of reg, then other ways of memory operands. */
const MODRM = [...[0xc1, 0x04].flatMap((form) => [0, 1, 2, 3, 4, 5, 6, 7].map((reg) => form | (reg << 3))), 0x05, 0x8c];

/** Notes the names that the lowering asks for, and refuses those that there are no semantics for. */
class Names {
  readonly all = new Set<string>();

  number(name: string, semantics?: Semantics): number {
    assert.ok(semantics !== undefined || hasMicroOp(name), `there is no micro-operation ${name}`);
    this.all.add(name);
    return 0;
  }
}

/** Every opcode with these prefixes and operands. */
function* encodings(code: CodeSize): Generator<number[]> {
  for (const prefixes of PREFIXES) {
    for (const rex of code === 8 ? REX : [[]]) {
      for (const map of MAPS) {
        for (let opcode = 0; opcode < 256; opcode++) {
          for (const modrm of MODRM) {
            yield [...prefixes, ...rex, ...map, opcode, modrm, 0x95, 0x7f, 0x80, 0xff, 0x7f];
          }
        }
      }
    }
  }
}

test('whatever can be decoded can be lowered, in few records and with few micro-operations', () => {
  const names = new Names();
  const view = new DataView(new ArrayBuffer(0x1000));
  const insn = new Insn();
  const l = new Lowering(view, insn, names as unknown as MicroOpTable);
  const bytes = new Uint8Array(32);
  let lowered = 0;
  for (const code of [2, 4, 8] as const) {
    for (const encoding of encodings(code)) {
      bytes.set(encoding);
      if (decode(bytes, 0, bytes.length, code, insn) <= 0) continue;
      for (const [checked, noFpu, noSse, shared] of [
        [false, false, false, false],
        [true, false, true, true],
        [false, true, true, true],
      ] as const) {
        if (checked && code === 8) continue;
        Object.assign(l, { at: 0, codeSize: code, checked, noFpu, noSse, shared, count: 0, ended: false });
        l.callouts.clear();
        l.begin(0xff0);
        (ruleFor(l) ?? lowerToCallout)(l);
        lowered++;
        const text = encoding.map((byte) => byte.toString(16)).join(' ');
        if (l.at <= 0 || l.at > MOST_RECORDS * RECORD_SIZE)
          assert.fail(`${l.at / RECORD_SIZE} records: ${text} (${code})`);
      }
    }
  }
  assert.ok(lowered > 100_000, String(lowered));
  assert.ok(names.all.size < MAX_COLD, `${names.all.size} micro-operations`);
});

/** The micro-operations that an instruction becomes. */
function lowered(hex: string, codeSize: CodeSize, checked = false): string[] {
  const names: string[] = [];
  const table = { number: (name: string) => names.push(name) };
  const insn = new Insn();
  const l = new Lowering(new DataView(new ArrayBuffer(0x1000)), insn, table as unknown as MicroOpTable);
  const bytes = Uint8Array.from([...hex.split(' ').map((byte) => Number.parseInt(byte, 16)), ...Array(16).fill(0)]);
  assert.ok(decode(bytes, 0, bytes.length, codeSize, insn) > 0, hex);
  Object.assign(l, { at: 0, codeSize, checked });
  l.begin(0x100);
  (ruleFor(l) ?? lowerToCallout)(l);
  return names;
}

test('flat 32-bit code becomes what 64-bit code does; other segments are checked', () => {
  for (const [hex, flat, checked] of [
    ['8b 44 8b 04', ['mov.4.rm'], ['ea.legacy', 'mov.4.rm']], // mov eax, [ebx+ecx*4+4]
    [
      '01 45 fc',
      ['loadForStore.4', 'add.4.rr', 'storeBack.4'],
      ['ea.legacy', 'loadForStore.4', 'add.4.rr', 'storeBack.4'],
    ],
    ['2e 8b 03', ['ea.legacy', 'mov.4.rm'], ['ea.legacy', 'mov.4.rm']], // mov eax, cs:[ebx]
    ['65 8b 03', ['ea.legacy', 'mov.4.rm'], ['ea.legacy', 'mov.4.rm']], // mov eax, gs:[ebx]
    ['67 8b 07', ['ea.mask', 'mov.4.rm'], ['ea.legacy', 'mov.4.rm']], // mov eax, [bx]
    ['50', ['push.flat.4.r'], ['push.legacy.4.r']],
    ['8f 00', ['lea.8', 'load.4', 'store.4', 'adjustSp.flat'], ['callout']], // pop dword [eax]
    ['c9', ['leave.flat.4'], ['callout']],
    ['e8 00 00 00 00', ['call.flat'], ['call.legacy.4']],
    ['66 e8 00 00', ['call.legacy.2'], ['call.legacy.2']],
    ['c3', ['ret.flat'], ['ret.legacy.4']],
    ['c2 04 00', ['ret.flat.imm'], ['ret.legacy.4']],
    ['ff e0', ['mov.4.rr', 'jmp.t1.flat'], ['mov.4.rr', 'jmp.t1.legacy.4']],
    ['74 10', ['jcc.4'], ['jcc.5', 'jmp.legacy.4']],
  ] as const) {
    assert.deepEqual(lowered(hex, 4), flat, hex);
    assert.deepEqual(lowered(hex, 4, true), checked, `${hex} checked`);
  }
});

test('immediates of string comparisons that mean the same share a micro-operation', () => {
  const names = (immediates: readonly number[]) =>
    immediates.flatMap((imm) => lowered(`66 0f 3a 63 ca ${imm.toString(16)}`, 8)); // pcmpistri xmm1, xmm2, imm
  assert.equal(new Set(names([0x02, 0x00, 0x20, 0xa2])).size, 1);
  assert.equal(new Set(names([0x04, 0x06, 0x14, 0x34, 0x44, 0x05])).size, 6);
  assert.equal(new Set(names(Array.from({ length: 256 }, (_, imm) => imm))).size, 60);
});
