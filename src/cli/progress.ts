import type { Progress } from '../disk/tools/progress.ts';

const INTERVAL = 100;
const BAR = 30;

/**
 * Shows on standard error how far work has come, if that is a terminal. Call `end` before anything else is printed.
 */
export function progressBar(label: string): { update: Progress; end(): void } {
  if (!process.stderr.isTTY) return { update: () => {}, end: () => {} };
  let last = 0;
  let shown = false;
  return {
    update(done, total) {
      const now = performance.now();
      if (now - last < INTERVAL) return;
      last = now;
      shown = true;
      const part = total === 0 ? 1 : done / total;
      const bar = '#'.repeat(Math.round(part * BAR)).padEnd(BAR, '.');
      process.stderr.write(`\r${label} [${bar}] ${Math.floor(part * 100)}%\x1b[K`);
    },
    end() {
      if (shown) process.stderr.write('\r\x1b[K');
    },
  };
}
