import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { cpio } from './cpio.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

test('writes header, name, data and padding', () => {
  const archive = text(cpio([{ path: 'a', mode: 0o100755, data: 'hello' }]));
  const fields = [1, 0o100755, 0, 0, 1, 0, 5, 0, 0, 0, 0, 2, 0].map((n) => n.toString(16).padStart(8, '0'));
  // 110 bytes of header and 2 of name are a multiple of 4; 5 bytes of data get 3 of padding.
  const first = `070701${fields.join('')}a\0hello\0\0\0`;
  assert.equal(archive.slice(0, first.length), first);
  assert.match(archive.slice(first.length), /^070701.*TRAILER!!!\0+$/);
  assert.equal(archive.length % 4, 0);
});

test('device numbers and links are where the kernel looks for them', () => {
  const archive = text(cpio([{ path: 'dev/console', mode: 0o020600, device: [5, 1] }]));
  assert.equal(archive.slice(6 + 9 * 8, 6 + 11 * 8), '0000000500000001');
  const link = text(cpio([{ path: 'sh', mode: 0o120777, data: 'busybox' }]));
  assert.ok(link.includes('sh\0\0\0\0busybox\0'));
});

test('paths that the kernel would misread are refused', () => {
  for (const path of ['', '/etc', 'a\0b']) assert.throws(() => cpio([{ path, mode: 0o100644 }]), RangeError);
});

test('cpio(1) reads it', (t) => {
  const archive = cpio([
    { path: 'bin', mode: 0o040755 },
    { path: 'bin/x', mode: 0o100755, data: new Uint8Array(4097) },
    { path: 'bin/y', mode: 0o120777, data: 'x' },
  ]);
  const listing = spawnSync('cpio', ['-tv', '--quiet'], { input: archive, encoding: 'utf8' });
  if (listing.error !== undefined) return t.skip('cpio is not installed');
  assert.match(listing.stdout, /drwxr-xr-x .* bin\n.*-rwxr-xr-x .* 4097 .* bin\/x\nlrwxrwxrwx .* bin\/y -> x\n/);
});
