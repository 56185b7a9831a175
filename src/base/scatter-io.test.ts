import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScatterList } from '../memory/scatter-list.ts';
import { setNonBlocking } from './fd.ts';
import { readScattered, writeScattered } from './scatter-io.ts';
import { streamPair } from './unix-stream.ts';

const text = (value: string) => ({ bytes: new TextEncoder().encode(value), address: 0 });

test('lists are written from anywhere and read into many pieces', () => {
  const [a, b] = streamPair();
  setNonBlocking(b.fd, true);
  const list = new ScatterList();
  list.add(text('..one'), 2, 3);
  list.add(text(''), 0, 0);
  list.add(text('two.'), 0, 3);
  assert.equal(writeScattered(a.fd, list, 4), 2);
  assert.equal(writeScattered(a.fd, list), 6);
  assert.equal(writeScattered(a.fd, list, 6), 0);
  const target = { bytes: new Uint8Array(20), address: 0 };
  const into = new ScatterList();
  into.add(target, 1, 3);
  into.add(target, 10, 9);
  assert.equal(readScattered(b.fd, into), 8);
  assert.equal(new TextDecoder().decode(target.bytes).replaceAll('\0', '.'), '.woo......netwo.....');
  assert.equal(readScattered(b.fd, into), -1);
  a.close();
  assert.equal(readScattered(b.fd, into), 0);
  assert.throws(() => writeScattered(b.fd, list), { errno: 'EPIPE' });
  b.close();
});
