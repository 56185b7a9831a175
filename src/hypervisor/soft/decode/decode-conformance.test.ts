import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DECODE_MORE, decode } from './decode.ts';
import { IcedOracle } from './iced-oracle.ts';
import { type CodeSize, Insn } from './insn.ts';
import { OPS } from './opcodes.ts';

const RECORD = 32;
const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x26, 0x3e, 0x64, 0x65];
const MANDATORY = [[], [0x66], [0xf3], [0xf2], [0x48]];
const ESCAPES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

/** xorshift32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) >>> 7;
  };
}

/** Records of random bytes; `start` writes the first bytes of each. */
function records(count: number, seed: number, start: (index: number, next: () => number) => number[]): Uint8Array {
  const next = random(seed);
  const bytes = new Uint8Array(count * RECORD);
  for (let i = 0; i < bytes.length; i++) bytes[i] = next();
  for (let i = 0; i < count; i++) bytes.set(start(i, next), i * RECORD);
  return bytes;
}

/** Compares the instruction at the start of each record and adds what was decoded to `seen`. */
function compare(bytes: Uint8Array, codeSize: CodeSize, seen: Set<number>): void {
  using oracle = new IcedOracle(bytes, codeSize);
  const problems: string[] = [];
  for (let offset = 0; offset < bytes.length && problems.length < 10; offset += RECORD) {
    oracle.seek(offset);
    const problem = oracle.next();
    if (problem !== null) problems.push(problem);
    if (oracle.length > 0) seen.add(oracle.op);
  }
  assert.deepEqual(problems, []);
}

/** Up to `most` legacy prefixes. */
function prefixes(next: () => number, most: number): number[] {
  return Array.from({ length: next() % (most + 1) }, () => PREFIXES[next() % PREFIXES.length]!);
}

test('every cell of the opcode tables is decoded as iced-x86 does, and every operation is reached', () => {
  const seen = new Set<number>();
  for (const codeSize of [2, 4, 8] as const) {
    for (const prefix of MANDATORY) {
      for (const escapeBytes of ESCAPES) {
        const bytes = records(256 * 72, codeSize, (index, next) => {
          const column = index % 72;
          const modrm = column < 8 ? ((next() % 3) << 6) | (column << 3) | (next() & 7) : 0xc0 + column - 8;
          return [...prefix, ...escapeBytes, Math.floor(index / 72), modrm];
        });
        compare(bytes, codeSize, seen);
      }
    }
  }
  const missing = OPS.filter((_, op) => op !== 0 && !seen.has(op));
  assert.deepEqual(missing, []);
});

test('random prefixes before random opcodes are decoded as iced-x86 does', () => {
  for (const codeSize of [2, 4, 8] as const) {
    const bytes = records(40_000, 77 + codeSize, (index, next) => {
      const rex = codeSize === 8 && next() & 1 ? [0x40 | (next() & 15)] : [];
      // Now and then so many prefixes that the instruction is too long.
      return [...prefixes(next, index % 8 === 0 ? 15 : 4), ...rex, ...ESCAPES[next() % 4]!];
    });
    compare(bytes, codeSize, new Set());
  }
});

test('random bytes are decoded as iced-x86 does', () => {
  for (const codeSize of [2, 4, 8] as const)
    compare(
      records(40_000, 5 + codeSize, () => []),
      codeSize,
      new Set(),
    );
});

test('every instruction that is cut short wants more bytes', () => {
  const insn = new Insn();
  for (const codeSize of [2, 4, 8] as const) {
    const bytes = records(5000, 9 + codeSize, (_, next) => [...prefixes(next, 2), ...ESCAPES[next() % 4]!]);
    for (let offset = 0; offset < bytes.length; offset += RECORD) {
      const length = decode(bytes, offset, bytes.length, codeSize, insn);
      for (let cut = 0; cut < length; cut++) {
        assert.equal(decode(bytes, offset, offset + cut, codeSize, insn), DECODE_MORE);
        // The same where the bytes themselves end there.
        assert.equal(decode(bytes.subarray(offset, offset + cut), 0, cut, codeSize, insn), DECODE_MORE);
      }
    }
  }
});
