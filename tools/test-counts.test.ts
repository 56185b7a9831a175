import assert from 'node:assert/strict';
import { test } from 'node:test';
import counts from './test-counts.js';

async function* events() {
  yield { type: 'test:pass', data: {} };
  yield { type: 'test:summary', data: { file: 'a.test.ts', counts: { passed: 1 } } };
  yield { type: 'test:summary', data: { counts: { passed: 3, failed: 1, cancelled: 2, skipped: 4, todo: 5 } } };
}

test('reports the summary of the run, once', async () => {
  const lines: string[] = [];
  for await (const line of counts(events())) lines.push(line);
  assert.deepEqual(lines, ['{"passed":3,"failed":3,"skipped":9}\n']);
});
