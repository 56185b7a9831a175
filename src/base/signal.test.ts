import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockSignal, currentMaskWithout, gettid, SIGRTMIN, signalThread, takeSignal } from './signal.ts';

const KICK = SIGRTMIN + 6;

test('a blocked signal waits until it is taken', () => {
  blockSignal(KICK);
  assert.equal(takeSignal(KICK), false);
  signalThread(gettid(), KICK);
  assert.equal(takeSignal(KICK + 1), false);
  assert.equal(takeSignal(KICK), true);
  assert.equal(takeSignal(KICK), false);
});

test('the mask for KVM has the other blocked signals only', () => {
  blockSignal(KICK);
  blockSignal(KICK + 1);
  const mask = currentMaskWithout(KICK);
  const blocked = (signal: number) => (mask[(signal - 1) >> 5]! >>> ((signal - 1) & 31)) & 1;
  assert.equal(mask.byteLength, 8);
  assert.equal(blocked(KICK), 0);
  assert.equal(blocked(KICK + 1), 1);
});

test('a thread that does not exist is an error', () => {
  assert.throws(() => signalThread(0x3fff_fff0, KICK), /tgkill failed for thread 1073741808: .*\(ESRCH\)/);
});
