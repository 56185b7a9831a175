import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cachedFolder } from './cache.ts';

const root = mkdtempSync(join(tmpdir(), 'cache-test-'));
after(() => rmSync(root, { recursive: true }));

test('fills once', async () => {
  let fills = 0;
  const fill = async (folder: string) => {
    fills++;
    writeFileSync(join(folder, 'file'), 'text');
  };
  const first = await cachedFolder('a/once', fill, root);
  const second = await cachedFolder('a/once', fill, root);
  assert.equal(first, second);
  assert.equal(readFileSync(join(first, 'file'), 'utf8'), 'text');
  assert.equal(fills, 1);
});

test('runs at the same time agree, and leave nothing else behind', async () => {
  const fill = (text: string) => async (folder: string) => writeFileSync(join(folder, 'file'), text);
  const both = await Promise.all(['one', 'two'].map((text) => cachedFolder('race/b', fill(text), root)));
  assert.equal(both[0], both[1]);
  assert.match(readFileSync(join(both[0]!, 'file'), 'utf8'), /^(one|two)$/);
  assert.deepEqual(readdirSync(join(root, 'race')), ['b']);
});

test('a fill that fails leaves nothing', async () => {
  const fill = async (folder: string) => {
    writeFileSync(join(folder, 'half'), '');
    throw new Error('no network');
  };
  await assert.rejects(cachedFolder('failed/c', fill, root), /no network/);
  assert.deepEqual(readdirSync(join(root, 'failed')), []);
});
