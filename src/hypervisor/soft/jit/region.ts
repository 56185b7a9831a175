/**
 * Which blocks are compiled together: those that a hot one leads to by direct jumps and calls, those behind the calls
 * included, in whatever pages they are.
 */
import { PAGE_SIZE } from '../code-map.ts';
import type { Block } from '../code-pages.ts';
import { FIRST, RECORD, RECORD_SIZE } from '../interpreter/record.ts';

/** Beyond this an optimizing compiler spends more time on a region than it saves. The blocks: a power of two. */
export const MAX_BLOCKS = 16;
const MAX_INSTRUCTIONS = 200;
/**
 * Instructions of blocks that are in another region already. Execution stays in a region twice as long if it has copies of the
 * short functions that it calls; more of them bring little, but take as long to compile.
 */
const MAX_COPIED = 40;

/** How often a block must have been executed to come along, as a part of what makes one hot. */
const WARM = 1 / 64;

/** From here the counter of a block goes on that waits for its compilation, or is not to be compiled. */
export const WAITING = 0x7fff_ffff;

/** Jumps with a target of their own. */
const DIRECT_JUMP = /^(jmp|goto|call|call\.flat|jcc\.\d+|loop\w*\.\d|jcxz\.\d)$/;
/** Calls, after which execution goes on behind them. */
const CALL = /^call(\.|$)/;
/** Jumps whose target only execution knows. */
const INDIRECT_JUMP = /^(ret|jmp\.t1|call\.t1)(\.|$)/;

/** What the selection needs to know of the decoded code. */
export interface DecodedCode {
  readonly view: DataView;
  /** Executions of a block before it is compiled. */
  readonly threshold: number;
  /** CPU.jitEpoch. */
  readonly epoch: number;
  /** The name of a record's micro-operation. */
  opName(record: number): string;
  /** The block of the same mode as `like` at `offset` from the start of linear page number `page`. */
  blockNear(page: number, offset: number, like: Block): Block | undefined;
}

/** A block of a region. */
export interface Member {
  readonly block: Block;
  /** Where it starts, counted from the start of the linear page of the block that became hot. */
  readonly at: number;
}

/** The offset of the page that `at` is in. */
export function pageOf(at: number): number {
  return Math.floor(at / PAGE_SIZE) * PAGE_SIZE;
}

/**
 * The region around a hot block in linear page number `page`. One with an instruction that goes on in the next page stays alone:
 * only the jump cache knows whether that is mapped as it was.
 */
export function selectRegion(code: DecodedCode, hot: Block, page: number): Member[] {
  if (hot.secondPage >= 0) return [{ block: hot, at: hot.start }];
  const chosen = new Map<Block, number>([[hot, hot.start]]);
  let instructions = 0;
  let copied = 0;
  for (const [block, at] of chosen) {
    instructions += countInstructions(code.view, block);
    if (instructions > MAX_INSTRUCTIONS) break;
    for (const offset of successors(code, block)) {
      const next = pageOf(at) + offset;
      const found = chosen.size < MAX_BLOCKS ? code.blockNear(page, next, hot) : undefined;
      if (found === undefined || chosen.has(found) || !comesAlong(code, found)) continue;
      if (found.region !== undefined) {
        const count = countInstructions(code.view, found);
        if (copied + count > MAX_COPIED) continue;
        copied += count;
      }
      chosen.set(found, next);
    }
  }
  return inOrder(
    code,
    [...chosen].map(([block, at]) => ({ block, at })),
  );
}

/**
 * Members in an order in which each comes before those that it leads to, but for loops of the guest: whatever else jumped back
 * would become a loop as well. (Reverse postorder.)
 */
function inOrder(code: DecodedCode, members: readonly Member[]): Member[] {
  const byPlace = new Map(members.map((member) => [member.at, member]));
  const postorder = new Set<Member>();
  const visited = new Set<Member>();
  const visit = (member: Member): void => {
    visited.add(member);
    for (const at of [...jumpsOf(code, member, byPlace), ...behindCalls(code, member)]) {
      const next = byPlace.get(at);
      if (next !== undefined && !visited.has(next)) visit(next);
    }
    postorder.add(member);
  };
  for (const member of members) if (!visited.has(member)) visit(member);
  return [...postorder].reverse();
}

/**
 * Where the code of a block in a region jumps to, as in Member.at; where it runs into another block of the region it goes on
 * there, too, and ends.
 */
export function jumpsOf(
  code: Pick<DecodedCode, 'view' | 'opName'>,
  { block, at }: Member,
  region: Pick<ReadonlyMap<number, unknown>, 'has'>,
): number[] {
  const found: number[] = [];
  const page = pageOf(at);
  for (let record = block.record + RECORD_SIZE; record < block.recordEnd; record += RECORD_SIZE) {
    const bits = code.view.getUint16(record + RECORD.start, true);
    const start = bits & 0xfff;
    if ((bits & FIRST) !== 0 && start !== block.start && region.has(page + start)) {
      found.push(page + start);
      break;
    }
    if (isDirectJump(code.opName(record))) found.push(page + code.view.getInt32(record + RECORD.imm, true));
  }
  return found;
}

/** Whether a block ends with a jump whose target only execution knows. */
export function hasIndirectJump(code: Pick<DecodedCode, 'opName'>, block: Block): boolean {
  return hasRecord(code, block, isIndirectJump);
}

/** Whether a block ends with a call, or as `hasIndirectJump`. */
export function mayCallOrReturn(code: Pick<DecodedCode, 'opName'>, block: Block): boolean {
  return hasRecord(code, block, (name) => isCall(name) || isIndirectJump(name));
}

function hasRecord(code: Pick<DecodedCode, 'opName'>, block: Block, test: (name: string) => boolean): boolean {
  for (let record = block.record; record < block.recordEnd; record += RECORD_SIZE) {
    if (test(code.opName(record))) return true;
  }
  return false;
}

export const isDirectJump = remembered((name) => DIRECT_JUMP.test(name));
const isIndirectJump = remembered((name) => INDIRECT_JUMP.test(name));
const isCall = remembered((name) => CALL.test(name));

/** The same for each name again, without asking: every record of every region is looked at. */
function remembered(test: (name: string) => boolean): (name: string) => boolean {
  const known = new Map<string, boolean>();
  return (name) => {
    let answer = known.get(name);
    if (answer === undefined) known.set(name, (answer = test(name)));
    return answer;
  };
}

function comesAlong({ view, epoch, threshold }: DecodedCode, block: Block): boolean {
  if (block.secondPage >= 0) return false;
  if (block.region !== undefined) return true;
  const left = view.getInt32(block.record + RECORD.imm, true);
  if (left >= WAITING / 2) return true;
  const full = view.getUint32(block.record + RECORD.full, true);
  const passed = (epoch - view.getUint32(block.record + RECORD.epoch, true)) >>> 0;
  return (full - left) / 2 ** passed >= Math.max(full, threshold) * WARM;
}

/** Where execution goes on directly behind a block, as offsets from the start of its page. */
function successors(code: DecodedCode, block: Block): number[] {
  const found: number[] = [];
  for (let at = block.record; at < block.recordEnd; at += RECORD_SIZE) {
    const name = code.opName(at);
    if (isDirectJump(name)) found.push(code.view.getInt32(at + RECORD.imm, true));
    if (isCall(name)) found.push(code.view.getUint16(at + RECORD.next, true));
  }
  return found;
}

/** Where execution goes on behind the calls of a block, as in Member.at. */
function behindCalls(code: DecodedCode, { block, at }: Member): number[] {
  const found: number[] = [];
  for (let record = block.record; record < block.recordEnd; record += RECORD_SIZE) {
    if (isCall(code.opName(record))) found.push(pageOf(at) + code.view.getUint16(record + RECORD.next, true));
  }
  return found;
}

function countInstructions(view: DataView, block: Block): number {
  let count = 0;
  for (let at = block.record; at < block.recordEnd; at += RECORD_SIZE) {
    if ((view.getUint16(at + RECORD.start, true) & FIRST) !== 0) count++;
  }
  return count;
}
