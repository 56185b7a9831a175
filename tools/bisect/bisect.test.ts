import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { rom } from '../../e2e/rom.ts';
import { OP } from '../../src/hypervisor/soft/decode/opcodes.ts';
import type { SoftVcpu } from '../../src/hypervisor/soft/vcpu.ts';
import { completeConfig } from '../../src/vm/config.ts';
import { bisect } from './bisect.ts';
import type { Variant } from './machine.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-bisect-'));
after(() => rmSync(folder, { recursive: true }));

/** Instructions of LOOP for each turn; the ROM has one before it. */
const TURN = 6;
const BEFORE = 1;
const RDTSC_IN_TURN = 1;
const RAX = 0;
const LOOP = [
  ...[0x31, 0xc0], // again: xor ax, ax
  ...[0x0f, 0x31], // rdtsc
  ...[0x01, 0xc7], // add di, ax
  ...[0x89, 0x3e, 0x00, 0x05], // mov [0x500], di
  ...[0x46], // inc si
  ...[0xeb, 0xf3], // jmp again
];
const bios = join(folder, 'rom');
writeFileSync(bios, rom(LOOP));
const config = completeConfig({ bios, mem: 16, deterministic: 0 });

const INTERPRETER: Variant = { soft: { jitThreshold: Number.POSITIVE_INFINITY } };

/** RDTSC gives another EAX the `n`th time. */
function wrongRdtsc(n: number): (vcpu: SoftVcpu) => void {
  return (vcpu) => {
    const execute = vcpu.execute.bind(vcpu);
    let times = 0;
    vcpu.execute = (insn) => {
      const next = execute(insn);
      if (insn.op === OP.rdtsc && ++times === n) vcpu.state.setReg(RAX, vcpu.state.reg(RAX) ^ 0x100n);
      return next;
    };
  };
}

function compare(b: Variant, until = 2_000_000) {
  return bisect(config, { a: INTERPRETER, b, every: 100_000, until, progress: () => {} });
}

test('variants that do the same have no difference', async () => {
  assert.equal(await compare({ soft: { jitThreshold: 0 } }), undefined);
  assert.equal(await compare({ soft: { jitThreshold: Number.POSITIVE_INFINITY, blockLength: 2 } }), undefined);
});

for (const [name, soft] of [
  ['interpreter', { jitThreshold: Number.POSITIVE_INFINITY }],
  ['JIT', { jitThreshold: 20 }],
] as const) {
  test(`the first wrong result of the ${name} is found`, async () => {
    const nth = 123_456;
    const found = await compare({ soft, change: wrongRdtsc(nth) });
    assert.ok(found !== undefined);
    const at = BEFORE + (nth - 1) * TURN + RDTSC_IN_TURN;
    assert.ok(found.same <= at && at < found.different, `${at} is not from ${found.same} to ${found.different}`);
    assert.ok(found.different - found.same <= 2 * TURN, 'the stretch is a block');
    assert.equal(found.instructions, BigInt(found.same));
    assert.equal(found.instruction, found.trace[at - found.same]);
    assert.match(found.instruction ?? '', /0f31 +rdtsc$/);
    const value = BigInt(at);
    const rax = { name: 'rax', a: value, b: value ^ 0x100n };
    assert.deepEqual(found.differences, { registers: [rax], devices: [], pages: [], others: [] });
  });
}

test('memory that differs is told by its address', async () => {
  const change = (vcpu: SoftVcpu) => vcpu.vm.memory.setU8(0x2345, 7);
  const found = await compare({ soft: {}, change });
  assert.deepEqual(found?.differences.pages, [{ name: '0x2000', places: [{ offset: 0x345, a: 0, b: 7 }] }]);
  assert.deepEqual(found.suspects, [{ what: 'memory 0x2345: a 0x0, b 0x7', instruction: undefined }]);
  assert.equal(found.instruction, undefined);
});

test('a difference that shows only behind `until` is none', async () => {
  assert.equal(await compare({ soft: {}, change: wrongRdtsc(123_456) }, 700_000), undefined);
});
