import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Block } from '../code-pages.ts';
import { FIRST, RECORD, RECORD_SIZE } from '../interpreter/record.ts';
import { type DecodedCode, jumpsOf, type Member, selectRegion } from './region.ts';

const PAGE_NUMBER = 7;
/** Of a block, in records of their own behind the header; each has one byte of code. */
const INSTRUCTIONS = 10;
const BLOCK_BYTES = (1 + INSTRUCTIONS) * RECORD_SIZE;

/** A block that starts at `start` and ends with micro-operation `op`, to `target`; execution comes back from a call to `next`. */
interface Sketch {
  readonly start: number;
  readonly op: string;
  readonly target?: number;
  readonly next?: number;
  /** It is in some region already. */
  readonly isCompiled?: boolean;
}

/** Code of one page, all of it hot. */
function decoded(sketches: readonly Sketch[]): DecodedCode & { blocks: Block[] } {
  const view = new DataView(new ArrayBuffer(sketches.length * BLOCK_BYTES));
  const names = new Map<number, string>();
  const blocks = sketches.map(({ start, op, target = 0, next = 0, isCompiled = false }, i): Block => {
    const record = i * BLOCK_BYTES;
    for (let n = 0; n < INSTRUCTIONS; n++) {
      view.setUint16(record + (1 + n) * RECORD_SIZE + RECORD.start, (start + n) | FIRST, true);
    }
    const end = record + INSTRUCTIONS * RECORD_SIZE;
    view.setInt32(end + RECORD.imm, target, true);
    view.setUint16(end + RECORD.next, next, true);
    names.set(end, op);
    const region = isCompiled ? ({} as NonNullable<Block['region']>) : undefined;
    const place = { page: 1, key: start, start, end: start + INSTRUCTIONS, record, recordEnd: record + BLOCK_BYTES };
    return { ...place, secondPage: -1, links: [], region, copies: [] };
  });
  return {
    view,
    threshold: 0,
    epoch: 0,
    blocks,
    opName: (record) => names.get(record) ?? '',
    blockNear: (page, offset) => (page === PAGE_NUMBER ? blocks.find(({ start }) => start === offset) : undefined),
  };
}

/** Jumps from each member of a region to itself or to one before it, as where they are from and where they go. */
function jumpsBack(code: DecodedCode, members: readonly Member[]): string[] {
  const places = new Map(members.map(({ at }, i) => [at, i]));
  return members.flatMap((member, from) =>
    jumpsOf(code, member, places)
      .filter((at) => (places.get(at) ?? members.length) <= from)
      .map((at) => `${member.at} to ${at}`),
  );
}

const starts = (members: readonly Member[]) => members.map(({ at }) => at);

test('a function at a lower address is behind its caller', () => {
  const code = decoded([
    { start: 100, op: 'ret' },
    { start: 800, op: 'call', target: 100, next: 810 },
    { start: 810, op: 'ret' },
  ]);
  const members = selectRegion(code, code.blocks[1]!, PAGE_NUMBER);
  assert.equal(members[0]!.at, 800);
  assert.deepEqual(starts(members).sort(), [100, 800, 810]);
  assert.deepEqual(jumpsBack(code, members), []);
});

test('a loop of the guest is one that jumps back', () => {
  const code = decoded([
    { start: 200, op: 'jmp', target: 500 },
    { start: 500, op: 'jmp', target: 300 },
    { start: 300, op: 'jmp', target: 500 },
  ]);
  const members = selectRegion(code, code.blocks[0]!, PAGE_NUMBER);
  assert.deepEqual(starts(members), [200, 500, 300]);
  assert.deepEqual(jumpsBack(code, members), ['300 to 500']);
});

test('a block that runs into another one leads to it', () => {
  const code = decoded([
    { start: 300, op: 'ret' },
    { start: 299, op: 'jcc.4', target: 300 },
    { start: 600, op: 'jmp', target: 299 },
  ]);
  const members = selectRegion(code, code.blocks[2]!, PAGE_NUMBER);
  assert.deepEqual(starts(members), [600, 299, 300]);
});

test('some blocks of other regions are copied, but not all that there are', () => {
  const chain = (isCompiled: boolean) =>
    decoded(
      Array.from({ length: 12 }, (_, i) => {
        return { start: 100 + 20 * i, op: 'jmp', target: 120 + 20 * i, isCompiled: isCompiled && i > 0 };
      }),
    );
  const [free, taken] = [chain(false), chain(true)];
  assert.equal(selectRegion(free, free.blocks[0]!, PAGE_NUMBER).length, 12);
  const { length } = selectRegion(taken, taken.blocks[0]!, PAGE_NUMBER);
  assert.ok(length > 1 && length < 12, `${length} blocks`);
});
