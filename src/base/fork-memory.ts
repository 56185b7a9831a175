import { readFileSync } from 'node:fs';
import { madvise } from './mmap.ts';

export const MADV_DONTFORK = 10;
const MADV_DOFORK = 11;

/**
 * Lets processes that are forked have all of this one's memory. Node keeps its heap from them (MADV_DONTFORK), as it
 * always starts another program in them; once they are to run this one, they need it.
 */
export function shareMemoryWithForks(): void {
  for (const { start, end } of unsharedRanges(readFileSync('/proc/self/smaps', 'utf8'))) {
    madvise(start, end - start, MADV_DOFORK);
  }
}

/** Mappings with the flag `dc`, "do not copy area on fork" (proc(5), /proc/PID/smaps). */
function* unsharedRanges(smaps: string): Generator<{ start: number; end: number }> {
  let [start, end] = [0, 0];
  for (const line of smaps.split('\n')) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
    if (from !== undefined) [start, end] = [Number.parseInt(from, 16), Number.parseInt(to!, 16)];
    else if (line.startsWith('VmFlags:') && line.includes(' dc')) yield { start, end };
  }
}
