/** Every instruction that LOCK may stand before, in each size and alignment, by vCPUs that do it all at the same place. */
import assert from 'node:assert/strict';
import type { GuestMemory } from '../../../src/memory/guest-memory.ts';
import type { BareMetalCase } from './case.ts';
import { DATA, runTogether, SHARED, together } from './together.ts';

const CPUS = 2;
/** Odd, so that what is undone by a second time is done in the end. */
const TIMES = 501;
/** Locks across pages stop the whole machine, where they are real. */
const TIMES_ACROSS_PAGES = 25;

/** From an operand to the 8 bytes that go with it. */
const BALANCE = 64;

type Size = 1 | 2 | 4 | 8;
const SIZES: readonly Size[] = [1, 2, 4, 8];
const SUFFIX = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' } as const;
const REGISTER: Readonly<Record<string, Readonly<Record<Size, string>>>> = {
  rax: { 1: '%al', 2: '%ax', 4: '%eax', 8: '%rax' },
  rcx: { 1: '%cl', 2: '%cx', 4: '%ecx', 8: '%rcx' },
  rdi: { 1: '%dil', 2: '%di', 4: '%edi', 8: '%rdi' },
  r8: { 1: '%r8b', 2: '%r8w', 4: '%r8d', 8: '%r8' },
  r9: { 1: '%r9b', 2: '%r9w', 4: '%r9d', 8: '%r9' },
  r10: { 1: '%r10b', 2: '%r10w', 4: '%r10d', 8: '%r10' },
};

/**
 * One instruction, at memory operand (%rsi). R8 is the vCPU's bit, R9 all other bits; RBP counts what was not as it
 * should be.
 */
interface Operation {
  readonly name: string;
  readonly sizes?: readonly Size[];
  readonly before?: number;
  code(register: (name: string) => string, suffix: string): string;
  /** What it took away is at BALANCE behind it. */
  readonly balanced?: boolean;
  /** What is there in the end. */
  after(times: number): number;
}

/** Every execution by any vCPU adds `by`. */
const adds = (name: string, by: number, code: Operation['code']): Operation => ({
  ...{ name, before: 100, code },
  after: (times) => 100 + CPUS * times * by,
});
/** Each vCPU flips its bit. */
const flips = (name: string, sizes: readonly Size[], code: Operation['code']): Operation => ({
  ...{ name, sizes, code },
  after: (times) => (times % 2 === 1 ? (1 << CPUS) - 1 : 0),
});
const nothingIsLeft = () => 0;

const OPERATIONS: readonly Operation[] = [
  adds('add an immediate', 1, (_r, s) => `lock add${s} $1, (%rsi)`),
  adds('add a register', 3, (r, s) => `mov${s} $3, ${r('rcx')}\n lock add${s} ${r('rcx')}, (%rsi)`),
  adds('sub', -1, (_r, s) => `lock sub${s} $1, (%rsi)`),
  adds('adc', 2, (_r, s) => `stc\n lock adc${s} $1, (%rsi)`),
  adds('sbb', -2, (_r, s) => `stc\n lock sbb${s} $1, (%rsi)`),
  adds('inc', 1, (_r, s) => `lock inc${s} (%rsi)`),
  adds('dec', -1, (_r, s) => `lock dec${s} (%rsi)`),
  adds('xadd', 1, (r, s) => `mov${s} $1, ${r('rcx')}\n lock xadd${s} ${r('rcx')}, (%rsi)`),
  adds(
    'cmpxchg',
    1,
    (r, s) => `mov${s} (%rsi), ${r('rax')}
      2: leal 1(%rax), %ecx
      lock cmpxchg${s} ${r('rcx')}, (%rsi)
      jne 2b`,
  ),
  flips('xor', SIZES, (r, s) => `lock xor${s} ${r('r8')}, (%rsi)`),
  flips('btc', [2, 4, 8], (r, s) => `lock btc${s} ${r('rdi')}, (%rsi)`),
  {
    name: 'or and and',
    code: (r, s) => `lock or${s} ${r('r8')}, (%rsi)
      test${s} ${r('r8')}, (%rsi)
      jnz 2f
      incl %ebp
      2: lock and${s} ${r('r9')}, (%rsi)
      test${s} ${r('r8')}, (%rsi)
      jz 2f
      incl %ebp
      2:`,
    after: nothingIsLeft,
  },
  {
    name: 'bts and btr',
    sizes: [2, 4, 8],
    code: (r, s) => `lock bts${s} ${r('rdi')}, (%rsi)
      adcl $0, %ebp
      lock btr${s} ${r('rdi')}, (%rsi)
      cmc
      adcl $0, %ebp`,
    after: nothingIsLeft,
  },
  { name: 'not', code: (_r, s) => `lock not${s} (%rsi)`, after: nothingIsLeft },
  { name: 'neg', before: 5, code: (_r, s) => `lock neg${s} (%rsi)`, after: () => 5 },
  // What is taken less what is given is summed up.
  {
    name: 'xchg',
    before: 1,
    code: (r, s) => `leal 10(%rdi), %r10d
      xchg${s} ${r('r10')}, (%rsi)
      movzbl %r10b, %ecx
      lock add %rcx, ${BALANCE}(%rsi)
      leal 10(%rdi), %ecx
      lock sub %rcx, ${BALANCE}(%rsi)`,
    balanced: true,
    after: () => 1,
  },
  {
    name: 'cmpxchg8b',
    sizes: [8],
    before: 0xffff_ff00,
    code: () => `movl (%rsi), %eax
      movl 4(%rsi), %edx
      2: movl %eax, %ebx
      movl %edx, %ecx
      addl $1, %ebx
      adcl $0, %ecx
      lock cmpxchg8b (%rsi)
      jne 2b`,
    after: (times) => 0xffff_ff00 + CPUS * times,
  },
];

const PLACES: Readonly<Record<string, (size: Size) => number>> = {
  aligned: () => 0x100,
  'within 8 aligned bytes': () => 0x101,
  'across 8 aligned bytes': (size) => 0x108 - size / 2,
  'across pages': (size) => 0x1000 - size / 2,
};
const SLOT = 0x2000;

interface Trial {
  readonly name: string;
  readonly operation: Operation;
  readonly size: Size;
  readonly address: number;
  readonly times: number;
}

function trials(place: string): Trial[] {
  let slot = DATA;
  return OPERATIONS.flatMap((operation) =>
    (operation.sizes ?? SIZES)
      .filter((size) => place === 'aligned' || (size > 1 && !(size === 8 && place.startsWith('within'))))
      .map((size) => {
        const address = slot + PLACES[place]!(size);
        slot += SLOT;
        const times = place === 'across pages' ? TIMES_ACROSS_PAGES : TIMES;
        return { name: `${operation.name}, ${size} bytes`, operation, size, address, times };
      }),
  );
}

function trialSource({ operation, size, address, times }: Trial, index: number): string {
  const register = (name: string) => REGISTER[name]![size];
  return `
    movl $${address}, %esi
    barrier
    movl $${times}, %r11d
    .Ltrial${index}:
    ${operation.code(register, SUFFIX[size])}
    decl %r11d
    jnz .Ltrial${index}`;
}

function read(memory: GuestMemory, address: number, size: Size): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(memory.getU8(address + i));
  return value;
}

function checkTrial(memory: GuestMemory, { name, operation, size, address, times }: Trial): void {
  const value = read(memory, address, size) + (operation.balanced === true ? read(memory, address + BALANCE, 8) : 0n);
  const expected = operation.after(times);
  assert.equal(BigInt.asUintN(size * 8, value), BigInt.asUintN(size * 8, BigInt(expected)), name);
}

const ofDevices: BareMetalCase = {
  name: 'a locked access to a device is a read and a write',
  needs: ['smp'],
  async run(harness) {
    await using guest = await harness.start({
      mode: 'long',
      cpus: 2,
      source: `movl $MMIO, %esi
        movl $0x01020304, %eax
        xchgl %eax, (%rsi)
        lock incb 4(%rsi)
        outl %eax, $0x80
        exit 1`,
    });
    const { code, accesses } = await guest.finish();
    assert.equal(code, 1);
    assert.deepEqual(accesses, [
      'mmio read d0000000.4',
      'mmio write d0000000.4 01020304',
      'mmio read d0000004.1',
      'mmio write d0000004.1 23',
      'port write 80.4 14131211',
    ]);
  },
};

const inMemory: readonly BareMetalCase[] = Object.keys(PLACES).map((place) => ({
  name: `locked instructions of vCPUs lose nothing: ${place}`,
  needs: ['smp', 'locked-instructions'],
  async run(harness) {
    const all = trials(place);
    const source = together(`
      xorl %ebp, %ebp
      movl %edi, %ecx
      movl $1, %r8d
      shll %cl, %r8d
      movl %r8d, %r9d
      notl %r9d
      movslq %r9d, %r9
      ${all.map(trialSource).join('\n')}
      movl %ebp, ${SHARED}(, %rdi, 8)
      barrier
      exit 1`);
    const codes = await runTogether(harness, {
      cpus: CPUS,
      source,
      prepare(memory) {
        for (const { operation, address } of all) memory.setU32(address, operation.before ?? 0);
      },
      check(memory) {
        for (const trial of all) checkTrial(memory, trial);
        for (let id = 0; id < CPUS; id++) assert.equal(memory.getU32(SHARED + 8 * id), 0);
      },
    });
    assert.deepEqual(codes, [1, 1]);
  },
}));

export const lockedCases: readonly BareMetalCase[] = [...inMemory, ofDevices];
