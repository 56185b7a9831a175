import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ScatterList } from '../memory/scatter-list.ts';
import { consoleInput, consoleOutput, openConsoleInput, openConsoleOutput } from './console-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'console-files-'));
after(() => rmSync(folder, { recursive: true }));

function listOf(text: string): ScatterList {
  const list = new ScatterList();
  const bytes = new TextEncoder().encode(text);
  list.add({ bytes, address: 0 }, 0, bytes.length);
  return list;
}

test('files never keep anybody waiting and have an end', () => {
  const path = join(folder, 'file');
  writeFileSync(path, 'old and longer');
  const output = consoleOutput(openConsoleOutput(path));
  assert.equal(output.fd, -1);
  assert.equal(output.write(listOf('new'), 0), 3);
  output.close();
  assert.equal(readFileSync(path, 'utf8'), 'new');
  const input = consoleInput(openConsoleInput(path));
  const list = listOf('..........');
  assert.deepEqual([input.fd, input.read(list), input.read(list)], [-1, 3, 0]);
  input.close();
  const nowhere = consoleOutput(openConsoleOutput('/dev/null'));
  assert.deepEqual([nowhere.fd, nowhere.write(list, 0)], [-1, 10]);
  nowhere.close();
});

test('a pipe waits for its other end without blocking', () => {
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  const input = consoleInput(openConsoleInput(path));
  const output = consoleOutput(openConsoleOutput(path));
  const list = listOf('.....');
  assert.ok(input.fd !== -1 && output.fd !== -1);
  assert.equal(input.read(list), -1);
  assert.equal(output.write(listOf('hello'), 2), 3);
  assert.equal(input.read(list), 3);
  output.close();
  assert.equal(input.read(list), -1);
  input.close();
  assert.throws(() => openConsoleInput(join(folder, 'absent')), { errno: 'ENOENT' });
});
