/** Files that workloads read: the same bytes in every run. Made on this side, as guests of some kinds are slow at it. */
import type { GuestFile } from '../tools/initramfs.ts';

/** `random`: 100,000 lines with a number each, in no order. `log`: 1.2 MB of lines like those of a log, which compress well. */
export function dataFiles(): GuestFile[] {
  const next = lehmer();
  const random = Array.from({ length: 100_000 }, () => `${next()}\n`);
  const log = Array.from({ length: 25_000 }, (_, i) => logLine(i, next));
  return [
    { name: 'random', data: new TextEncoder().encode(random.join('')) },
    { name: 'log', data: new TextEncoder().encode(log.join('')) },
  ];
}

const WORDS = ['started', 'stopped', 'reading', 'writing', 'waiting for', 'lost', 'found', 'flushed'];
const OBJECTS = ['block', 'page', 'inode', 'queue', 'timer', 'socket', 'request'];

function logLine(index: number, next: () => number): string {
  const pick = (list: readonly string[]) => list[next() % list.length]!;
  return `[${(index * 0.013).toFixed(3)}] disk${next() % 4}: ${pick(WORDS)} ${pick(OBJECTS)} ${next() % 100_000}, ${pick(WORDS)} ${next() % 64}\n`;
}

/** The generator of Lehmer with the numbers of Park and Miller: 1 to 2^31 - 2. */
function lehmer(): () => number {
  let state = 1;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state;
  };
}
