import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filteredLog } from './log.ts';

test('a log passes on what is important enough', () => {
  const seen: string[] = [];
  const write = (level: string, message: string) => seen.push(`${level} ${message}`);
  const warn = filteredLog('warn', write);
  warn('error', 'a');
  warn('warn', 'b');
  warn('info', 'c');
  filteredLog('off', write)('error', 'd');
  filteredLog('trace', write)('trace', 'e');
  assert.deepEqual(seen, ['error a', 'warn b', 'trace e']);
});
