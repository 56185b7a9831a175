import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { COMMAND_LINE_DOC, commandLineDoc } from './command-line-doc.ts';

test('docs/command-line.md is what the table of options says now', async () => {
  const text = await commandLineDoc();
  for (const heading of ['crosvm run', 'crosvm stop', 'crosvm version'])
    assert.match(text, new RegExp(`^## ${heading}$`, 'm'));
  assert.equal(readFileSync(COMMAND_LINE_DOC, 'utf8'), text, 'run node tools/command-line-doc.ts');
});
