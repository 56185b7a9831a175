/** Deterministic guests: events at exact instructions, however the code is executed, and runs that repeat. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { SoftOptions } from '../src/hypervisor/hypervisor.ts';
import { completeConfig } from '../src/vm/config.ts';
import { hashOf } from '../src/vm/machine-state.ts';
import { BisectMachine } from '../tools/bisect/machine.ts';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';
import { assemble, assemblerMissing } from './bare-metal/assemble.ts';
import { CROSVM, type Finished, finish } from './linux-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-deterministic-'));
after(() => rmSync(folder, { recursive: true }));

const INTERPRETER = Number.POSITIVE_INFINITY;
/** Ways to cut the same code. */
const SHAPES: readonly SoftOptions[] = [
  { jitThreshold: INTERPRETER },
  { jitThreshold: INTERPRETER, blockLength: 1 },
  { jitThreshold: INTERPRETER, blockLength: 7 },
  { jitThreshold: 0 },
  { jitThreshold: 0, blockLength: 3 },
];
/** Guest time by which every guest has ended. */
const LONG = 10_000_000;

/** 64 KiB of firmware, from the reset vector on; it ends by `reset`. The handler of PIC interrupt 0 is at `handler`. */
const FIRMWARE = (body: string, handler: string) => `
.code16
.macro out8 port value
  movb $\\value, %al
  outb %al, $\\port
.endm
.macro reset
  out8 0x64 0xfe
.endm
begin:
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $0x7000, %sp
  movw $(handler - start), %si
  movw $0x600, %di
  movw $(handler_end - handler), %cx
  rep movsb %cs:(%si), %es:(%di)
  movl $0x600, 0x80
  out8 0x20 0x11
  out8 0x21 0x20
  out8 0x21 4
  out8 0x21 1
  out8 0x21 0xfe
  xorl %ecx, %ecx
  ${body}
handler:
  ${handler}
  reset
handler_end:
.org 0xfff0
  jmp begin
.org 0x10000
`;

/** Lets the PIT's counter 0 run out once, `count` / 1193182 s after the last OUT. EBP is the time stamp three before it. */
const startTimer = (count: number) => `
  out8 0x43 0x30
  out8 0x40 ${count}
  rdtsc
  movl %eax, %ebp
  xorw %ax, %ax
  outb %al, $0x40`;
const untilInterrupt = (count: number) => BigInt(3 + Math.ceil((count * 1e9) / 1_193_182));
const COUNT = 100;
const ELAPSED = `
  rdtsc
  subl %ebp, %eax
  movl %eax, %ebx`;

/** Runs firmware to its end in every shape; all must come to the same state, whose registers are returned. */
async function runInAllShapes(source: string): Promise<ReadonlyMap<string, bigint>> {
  const bios = join(folder, 'firmware');
  writeFileSync(bios, assemble(source));
  const ends = [];
  for (const soft of SHAPES) {
    using machine = await BisectMachine.create(completeConfig({ bios, mem: 16, deterministic: 0 }), { soft });
    machine.runTo(LONG);
    assert.equal(machine.ended, 'reset', JSON.stringify(soft));
    const { state } = machine;
    ends.push({ registers: state.registers, hash: hashOf(state) });
  }
  for (const [i, end] of ends.entries()) {
    assert.deepEqual(end.registers, ends[0]!.registers, JSON.stringify(SHAPES[i]));
    assert.equal(end.hash, ends[0]!.hash, JSON.stringify(SHAPES[i]));
  }
  return ends[0]!.registers;
}

describe('time is instructions', { skip: assemblerMissing() }, () => {
  test('RDTSC counts the instructions before it, in whatever block', async () => {
    const registers = await runInAllShapes(
      FIRMWARE(
        `rdtsc
        movl %eax, %esi
        nop
        rdtsc
        subl %esi, %eax
        movl %eax, %edi
        rdtsc
        movl %eax, %esi
        movw $1000, %cx
        1: incw %dx
        testw $3, %dx
        jz 2f
        nop
        2: loop 1b
        rdtsc
        subl %esi, %eax
        movl %eax, %ebx
        reset`,
        '',
      ),
    );
    assert.equal(registers.get('rdi'), 3n);
    // Two before the loop, 4 in each turn, and the NOP in three of four: DX begins with 0, the upper half of the time.
    assert.equal(registers.get('rbx'), 3n + 4000n + 750n);
  });

  test('a timer interrupt comes before the instruction at its deadline', async () => {
    const registers = await runInAllShapes(
      FIRMWARE(
        `${startTimer(COUNT)}
        sti
        1: incl %ecx
        testb $7, %cl
        jnz 1b
        addl %ecx, %edx
        incl %ecx
        jmp 1b`,
        ELAPSED,
      ),
    );
    assert.equal(registers.get('rbx'), untilInterrupt(COUNT));
  });

  test('the interrupt waits for STI, and for the instruction behind it', async () => {
    const registers = await runInAllShapes(
      FIRMWARE(
        `${startTimer(COUNT)}
        movl $200000, %ecx
        1: decl %ecx
        jnz 1b
        sti
        nop
        incl %ecx
        incl %ecx`,
        ELAPSED,
      ),
    );
    assert.equal(registers.get('rcx'), 0n);
    // OUT is the third, MOV the fourth; behind the loop come STI and NOP.
    assert.equal(registers.get('rbx'), 5n + 400_000n + 2n);
  });

  test('HLT lets the time pass at once', async () => {
    const registers = await runInAllShapes(FIRMWARE(`${startTimer(COUNT)}\nsti\n1: hlt\njmp 1b`, ELAPSED));
    assert.equal(registers.get('rbx'), untilInterrupt(COUNT));
    assert.ok(registers.get('instructions')! < 200n);
    assert.ok(registers.get('time')! > untilInterrupt(COUNT));
  });

  test('interrupts come into repeated instructions at the same elements', async () => {
    const registers = await runInAllShapes(
      FIRMWARE(
        `${startTimer(1)}
        sti
        1: xorw %si, %si
        movw $0xffff, %cx
        rep lodsb
        incl %edx
        jmp 1b`,
        ELAPSED,
      ),
    );
    assert.ok(registers.get('rbx')! >= untilInterrupt(1));
    assert.equal(registers.get('rsi')! & 0x3ffn, 0x3ffn, 'the count is a multiple of 1024');
  });
});

const crosvm = (words: readonly string[], input = '') => finish(CROSVM, ['run', '--deterministic', ...words], input);

/** What two runs must agree in: the console's output, and the last line about the state. */
function outcome({ status, console, stderr }: Finished): { status: number | null; console: string; state: string } {
  const state = /state after \d+ instructions: SHA-256 [0-9a-f]{64}$/m.exec(stderr)?.[0];
  assert.ok(state !== undefined, stderr);
  return { status, console, state };
}

test('what is random follows from the seed', { skip: assemblerMissing() }, async () => {
  const bios = join(folder, 'random');
  writeFileSync(bios, assemble(FIRMWARE('rdrand %eax\nrdrand %ebx\nreset', '')));
  const run = async (...words: string[]) =>
    outcome(await finish(CROSVM, ['run', ...words, '-m', '16', '--bios', bios]));
  const zero = await run('--deterministic');
  assert.deepEqual(await run('--deterministic=0', '--hypervisor', 'soft'), zero);
  assert.notEqual((await run('--deterministic=1')).state, zero.state);
});

test('Linux runs the same twice: its console, its input, its dates and its random numbers', async () => {
  const kernel = await vmlinuxOf(await fetchKernel(CLOUD_KERNEL_6_12));
  const initrd = await guestInitramfs({ kind: 'console-commands' });
  const words = ['-m', '128', '--extended-status', '-i', initrd, '-p', 'panic=-1 cryptomgr.notests', kernel];
  const input = 'date\ncat /proc/sys/kernel/random/uuid /proc/uptime\nsleep 1000\ncat /proc/uptime\n';
  const first = outcome(await crosvm(words, input));
  assert.equal(first.status, 0, first.console.slice(-3000));
  assert.match(first.console, /^\w+ Jan +1 00:00:\d\d UTC 2026$/m);
  assert.match(first.console, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-/m);
  assert.match(first.console, /^100\d\.\d+ \d+\.\d+$/m, 'a sleep takes none of our time');
  assert.deepEqual(outcome(await crosvm(words, input)), first);
});

for (const [words, message] of [
  [['--hypervisor', 'kvm'], 'only the software CPU is deterministic: use --hypervisor soft'],
  [['-c', '2'], 'a deterministic VM has one vCPU, not 2'],
] as const) {
  test(`--deterministic with ${words.join(' ')} is refused`, async () => {
    const { status, stderr } = await crosvm([...words, 'kernel']);
    assert.deepEqual([status, stderr], [2, `crosvm: run: ${message}\n`]);
  });
}

test('a seed that is no number is refused', async () => {
  const { status, stderr } = await finish(CROSVM, ['run', '--deterministic=x', 'kernel']);
  assert.equal(status, 2);
  assert.match(stderr, /--deterministic x: "x" is not a whole number/);
});
