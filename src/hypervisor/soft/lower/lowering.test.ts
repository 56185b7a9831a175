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
import { Lowering } from './lowering.ts';
import { lowerToCallout, rules } from './rules.ts';

/** Records that the code cache has space for, per instruction. */
const MOST_RECORDS = 6;
const PREFIXES = [[], [0x66], [0xf2], [0xf3], [0x66, 0xf2], [0x66, 0xf3], [0x67], [0x66, 0x67], [0x64], [0x67, 0x65]];
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
      for (const [checked, noFpu, noSse] of [
        [false, false, false],
        [true, false, true],
        [false, true, true],
      ] as const) {
        if (checked && code === 8) continue;
        Object.assign(l, { at: 0, codeSize: code, checked, noFpu, noSse, count: 0, ended: false });
        l.callouts.clear();
        l.begin(0xff0);
        (rules[insn.op] ?? lowerToCallout)(l);
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
