import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canOpen, hasHardwareVirtualization } from './cpu-info.ts';

test('finds vmx and svm among the flags only', () => {
  assert.equal(hasHardwareVirtualization('model name\t: X\nflags\t\t: fpu vmx sse\n'), true);
  assert.equal(hasHardwareVirtualization('flags\t\t: fpu sse svm\n'), true);
  assert.equal(hasHardwareVirtualization('flags\t\t: fpu svm_lock novmx\nvmx flags\t: vmx \n'), false);
  assert.equal(hasHardwareVirtualization('model name\t: vmx svm\n'), false);
  assert.equal(hasHardwareVirtualization(''), false);
  assert.equal(typeof hasHardwareVirtualization(), 'boolean');
});

test('a device that is not there cannot be opened; one that is can', () => {
  assert.equal(canOpen('/dev/null'), true);
  assert.equal(canOpen('/dev/there-is-no-such-device'), false);
});
