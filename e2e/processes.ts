/** Looks for processes, and waits for what they do. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Numbers of the processes whose command line is like this. */
export function processes(isOne: (words: readonly string[]) => boolean): number[] {
  const isSuch = (pid: string) => {
    try {
      return isOne(readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0'));
    } catch {
      return false;
    }
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isSuch(name))
    .map(Number);
}

/** Processes that run a device of which the description, which is JSON, has `text` in it. */
export function deviceProcesses(text: string): number[] {
  return processes((words) => words[1]?.endsWith('/device-entry.js') === true && words[2]?.includes(text) === true);
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (condition()) return;
    await sleep(50);
  }
  assert.fail(`waited for 30 seconds: ${what}`);
}
