import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for something that another process does, which takes long only where others keep the machine busy. */
export async function until(condition: () => boolean, what: string | (() => string)): Promise<void> {
  for (let i = 0; i < 2400; i++) {
    if (condition()) return;
    await sleep(50);
  }
  assert.fail(`waited for two minutes: ${typeof what === 'string' ? what : what()}`);
}
