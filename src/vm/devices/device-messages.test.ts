import assert from 'node:assert/strict';
import { test } from 'node:test';
import { streamPair } from '../../base/unix-stream.ts';
import { readMessages } from './device-messages.ts';

/** The lines that come of what is sent. */
async function linesOf(...parts: string[]): Promise<string[]> {
  const [ours, theirs] = streamPair();
  const lines: string[] = [];
  const end = readMessages(ours.fd, (line) => lines.push(line));
  for (const part of parts) {
    theirs.send(Buffer.from(part));
    await new Promise(setImmediate);
  }
  theirs.close();
  await end;
  return lines;
}

test('lines come whole, also in parts, and the last one without its end', async () => {
  assert.deepEqual(await linesOf('one\ntw', 'o\n\nthree'), ['one', 'two', 'three']);
});

test('a line without an end is cut off', async () => {
  const [line, next] = await linesOf(...new Array(20).fill('x'.repeat(5000)), '\nnext\n');
  assert.equal(line, 'x'.repeat(1000));
  assert.equal(next, 'next');
});

test('lines without end are ignored after a thousand', async () => {
  assert.equal((await linesOf('line\n'.repeat(3000))).length, 1000);
});

test('what a terminal would obey does not reach it', async () => {
  assert.deepEqual(await linesOf('a\x1b[2Jb\r\x07\u202e\n'), ['a?[2Jb???']);
});
