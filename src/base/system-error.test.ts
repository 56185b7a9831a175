import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CrosvmError } from '../errors.ts';
import { SystemError } from './system-error.ts';

test('names the call, the object and the errno', () => {
  const error = new SystemError('open', 2, '/nowhere');
  assert.equal(error.message, 'open failed for /nowhere: no such file or directory (ENOENT)');
  assert.equal(error.errno, 'ENOENT');
  assert.equal(error.code, 'E_SYSTEM');
  assert.ok(error instanceof CrosvmError);
});

test('an errno without a name is given as its number', () => {
  assert.equal(new SystemError('ioctl(X)', 524).message, 'ioctl(X) failed: error 524 (E524)');
});
