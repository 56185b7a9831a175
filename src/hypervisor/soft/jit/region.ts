/** Which blocks are compiled together: those that a hot one leads to by direct jumps, within its page. */
import type { Block } from '../code-pages.ts';
import { FIRST, RECORD, RECORD_SIZE } from '../interpreter/record.ts';

/** Beyond this an optimizing compiler spends more time on a region than it saves. The blocks: a power of two. */
export const MAX_BLOCKS = 16;
const MAX_INSTRUCTIONS = 200;

/** How often a block must have been executed to come along, as a part of what makes one hot. */
const WARM = 1 / 64;

/** From here the counter of a block goes on that waits for its compilation, or is not to be compiled. */
export const WAITING = 0x7fff_ffff;

/** What the selection needs to know of the decoded code. */
export interface DecodedCode {
  readonly view: DataView;
  /** CPU.jitEpoch. */
  readonly epoch: number;
  /** The block whose header is at this address. */
  blockAt(record: number): Block | undefined;
  /** The name of a record's micro-operation. */
  opName(record: number): string;
}

/** The region around a hot block, in the order of addresses. */
export function selectRegion(code: DecodedCode, hot: Block): Block[] {
  const chosen = new Set([hot]);
  let instructions = 0;
  for (const block of chosen) {
    instructions += countInstructions(code.view, block);
    if (instructions > MAX_INSTRUCTIONS) break;
    for (const next of successors(code, block)) {
      if (chosen.size < MAX_BLOCKS && comesAlong(code, next)) chosen.add(next);
    }
  }
  return [...chosen].sort((a, b) => a.start - b.start);
}

/** Jumps with a target of their own. */
export function isDirectJump(name: string): boolean {
  return name === 'jmp' || name === 'goto' || name.startsWith('jcc.') || name.startsWith('loop') || isJcxz(name);
}

function isJcxz(name: string): boolean {
  return name.startsWith('jcxz.');
}

function comesAlong({ view, epoch }: DecodedCode, block: Block): boolean {
  if (block.region !== undefined || block.secondPage >= 0) return false;
  const left = view.getInt32(block.record + RECORD.imm, true);
  if (left >= WAITING / 2) return true;
  const full = view.getUint32(block.record + RECORD.full, true);
  const passed = (epoch - view.getUint32(block.record + RECORD.epoch, true)) >>> 0;
  return (full - left) / 2 ** passed >= full * WARM;
}

function successors(code: DecodedCode, block: Block): Block[] {
  const found: Block[] = [];
  for (let at = block.record; at < block.recordEnd; at += RECORD_SIZE) {
    if (!isDirectJump(code.opName(at))) continue;
    const next = code.blockAt(code.view.getInt32(at + RECORD.link, true));
    if (next !== undefined) found.push(next);
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
