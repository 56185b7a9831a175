import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for something that another process does. */
export async function until(condition: () => boolean, what: string | (() => string)): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (condition()) return;
    await sleep(50);
  }
  assert.fail(`waited for 30 seconds: ${typeof what === 'string' ? what : what()}`);
}
